"""What a guard says about a text: a closed union, so that a type checker proves that every answer is handled.

``Allow | Block`` today. A third member for rewritten text joins the union the day a guard rewrites; ``assert_never`` in the
callers then names every place that has to learn about it.
"""

from msgspec import Struct


class Allow(Struct, frozen=True, gc=False):
    """Nothing found. Compare with ``is ALLOW``: there is one instance."""


class Block(Struct, frozen=True, gc=False):
    """The call ends here. Carries nothing of the judged text."""

    guard: str
    """Which guard: ``prohibited_terms`` or ``required_elements``."""
    detail: str
    """Public text: what was found or missing, in the words of the configuration, shortened."""
    choice: int | None = None
    """The answer's choice index; None for the conversation going in."""


Verdict = Allow | Block

ALLOW = Allow()
