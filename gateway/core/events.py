"""An answer is a stream of events. A whole answer is a stream of one; framing is the door's business, not the provider's."""

from msgspec import Struct

LARGEST_COUNT = 2**53
"""Token counts above what a JSON number holds exactly are nonsense, not usage."""


class Usage(Struct, frozen=True, gc=False):
    """What a provider bills for one call, in one model for all of them.

    ``input`` and ``output`` are totals; every other token count is a part of one of them and never added to it. The parts of
    ``input`` do not overlap (``audio_cached`` apart, which is in two), so that no token is billed twice.
    """

    input: int
    """All input tokens: fresh, read from a cache and written to one, of text, audio and images."""
    output: int
    """All output tokens: text, reasoning, audio, images."""
    cached: int = 0
    """Part of ``input``: read from the provider's cache."""
    reasoning: int = 0
    """Part of ``output``: thoughts."""
    cache_write: int = 0
    """Part of ``input``, beside ``cached``: written to a cache that lives 5 minutes (or as long as the provider's default)."""
    cache_write_1h: int = 0
    """Part of ``input``, beside ``cached`` and ``cache_write``: written to a cache that lives an hour."""
    audio_input: int = 0
    """Part of ``input``: audio, whether or not it came from the cache."""
    audio_cached: int = 0
    """Part of ``audio_input`` and of ``cached``: audio read from the cache."""
    audio_output: int = 0
    """Part of ``output``: audio."""
    image_input: int = 0
    """Part of ``input``, beside ``cached``: image tokens where the provider counts them apart."""
    image_output: int = 0
    """Part of ``output``: image tokens."""
    images: int = 0
    """Pictures made, where they are billed by the piece. Not tokens, so not part of ``output``."""
    requests: int = 1
    """Units of a fee per request: one for a call, or what the provider counted (search units of a rerank)."""
    tier: str | None = None
    """The service tier that was billed (``batch``, ``flex``, ``priority``); None is the standard one."""
    audio_ms: int = 0
    """Milliseconds of sound, where it is billed by its length. Not tokens, so not part of ``input``."""
    characters: int = 0
    """Unicode characters of a text read aloud, where they are billed. Not tokens, so not part of ``input``."""
    picture: str | None = None
    """What was asked of ``images`` that are billed by the piece: ``SIZE QUALITY`` (``1024x1792 hd``), ``-`` for what was not said."""

    def plausible(self) -> bool:
        """Whether the counts can be true: none negative or absurd, no part larger than its whole. Else they are no usage."""
        read, made = self.input, self.output
        cached, kept, hour = self.cached, self.cache_write, self.cache_write_1h
        audio, heard, image = self.audio_input, self.audio_cached, self.image_input
        thought, spoken, drawn = self.reasoning, self.audio_output, self.image_output
        return (
            min(cached, kept, hour, heard, image, thought, spoken, drawn) >= 0
            and min(self.images, self.requests, self.audio_ms, self.characters) >= 0
            and cached + kept + hour <= read < LARGEST_COUNT
            and heard <= audio <= read - image
            and heard <= cached
            and thought + spoken + drawn <= made < LARGEST_COUNT
            and max(self.images, self.requests, self.audio_ms, self.characters) < LARGEST_COUNT
        )


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
    plain: bool = False
    """Whether :attr:`texts` and tool calls are known to be all the text in :attr:`data`, so that nobody has to look for more."""
