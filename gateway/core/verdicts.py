"""What guards say: a closed union, so that a type checker proves that every answer is handled; and notes of what was found."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.core.documents import OnFail

Stage = Literal["pre", "post", "tools"]
"""Where something was found: in what goes in, in the text of an answer, in tools (either way)."""
Mode = Literal["enforce", "observe"]
NoteAction = OnFail | Literal["error_open", "error_closed"]
"""What came of a finding; the last two: a guard could not judge, and the call went on, or not."""


class Allow(Struct, frozen=True, gc=False):
    """Nothing to be done. Compare with ``is ALLOW``: there is one instance."""


class Rewritten(Struct, frozen=True):
    """The call goes on with this conversation in the place of the one that was judged."""

    conversation: Conversation
    masks: Mapping[str, str]
    """Placeholders that stand in it, and the values that they are for: to be put back wherever the answer says them."""


class Block(Struct, frozen=True, gc=False):
    """The call ends here, or goes another way. Carries nothing of the judged text."""

    guard: str
    """Which guard: ``prohibited_terms``, ``required_elements`` or the name of a validator."""
    detail: str
    """Public text: what was found or missing, in the words of the configuration, shortened."""
    choice: int | None = None
    """The answer's choice index; None for the conversation going in."""
    on_fail: OnFail = "block"
    """What the validator wants done: ``block``, ``reask`` or ``fallback``."""
    message: str = ""
    """Not empty: what a refusal says as a normal answer."""
    fallback: str = ""
    """The reference that answers instead, in the case of ``fallback``."""


Verdict = Allow | Rewritten | Block
OutputVerdict = Allow | Block
"""On text of an answer: what is to be rewritten there is said apart, by its places."""

ALLOW = Allow()


class Note(Struct):
    """What one guard found in one call, enforced or only observed. Counts rise while the call is judged. Never any judged text."""

    stage: Stage
    guard: str
    action: NoteAction
    mode: Mode
    kinds: dict[str, int]
    """How often each kind of thing was found, in words of the configuration or the detector."""
