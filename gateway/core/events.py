"""An answer is a stream of events. A whole answer is a stream of one; framing is the door's business, not the provider's."""

from msgspec import Struct


class Usage(Struct, frozen=True, gc=False):
    """Token counts as billed. ``input`` includes ``cached``; ``output`` includes ``reasoning``."""

    input: int
    output: int
    cached: int = 0
    reasoning: int = 0


class Event(Struct, gc=False):
    """One step of an answer: a chunk of a stream, or the whole answer.

    In the OpenAI chat form, or in the caller's own dialect where the provider speaks it
    (:attr:`gateway.core.upstream.UpstreamCall.dialect`).
    """

    data: bytes
    """The JSON, without framing; what a caller of the same dialect gets if nobody changes it."""
    texts: tuple[tuple[int, str], ...] = ()
    """Generated text by choice index: (choice, text)."""
    finish: str | None = None
    """The finish reason, if this event carries one."""
    usage: Usage | None = None
    usage_only: bool = False
    """True for the closing usage chunk (empty ``choices``), which callers get only if they asked."""
