"""The guard ``injection``: one verdict on a text that may be an attack on the model's instructions.

It lowers a risk and does not end it (OWASP LLM01:2025 says why): wording that nobody has used yet is not found. What it finds it
explains with a family and a score, and costs no call.
"""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.injection.patterns import FAMILIES, Family
from gateway.guards.injection.scoring import Evidence, Score
from gateway.guards.whole import WholeText

THRESHOLD = 0.5
"""Chosen on two thirds of the corpus: the lowest at which what it finds there is nearly always an attack."""


class InjectionOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``injection`` may be told."""

    threshold: Annotated[float, Meta(gt=0, le=1)] = THRESHOLD
    """The score from which a text is an attack."""
    families: tuple[Family, ...] = FAMILIES
    """Which kinds of evidence count."""
    decode: bool = True
    """Whether encoded pieces are looked into."""


class InjectionGuard(WholeText):
    """Scores a text."""

    __slots__ = ("_decode", "_families", "_threshold")

    def __init__(self, options: InjectionOptions) -> None:
        self._threshold = options.threshold
        self._families = frozenset(options.families)
        self._decode = options.decode

    def score(self, text: str) -> Score:
        """How much it looks like an attack."""
        evidence = Evidence(self._families)
        evidence.read(text, decode=self._decode)
        return evidence.score()

    def judge(self, text: str) -> str | None:
        """The family and the score in tenths (``jailbreak 0.8``), so that counters by kind stay few."""
        score = self.score(text)
        return f"{score.family} {score.value:.1f}" if score.family is not None and score.value >= self._threshold else None


def make_injection(options: InjectionOptions, param: str) -> InjectionGuard:
    """The guard. Raises ``malformed`` where no family is left to look for."""
    if not options.families:
        raise GatewayError(MALFORMED, f"{param}.options.families must name one at least", param=f"{param}.options.families")
    return InjectionGuard(options)
