"""Files and batches in OpenAI's JSON, as far as their ids go; and usage, wherever forwarded answers keep it."""

import msgspec
from msgspec import Raw, Struct

from gateway.core.events import Usage
from gateway.wire.openai import ABSENT, DECODE_ERRORS, is_given, read_usage


class UpstreamObject(Struct):
    """A file, or a batch with the files that it made."""

    id: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def ids(self) -> list[str]:
        """Its own and those of what it made."""
        return [i for i in (self.id, self.output_file_id, self.error_file_id) if i]


class ObjectPage(Struct):
    """One page of a list."""

    data: list[Raw]
    has_more: bool = False


class _Holder(Struct):
    usage: Raw = ABSENT


class _InputDetails(Struct, gc=False):
    cached_tokens: int | None = 0


class _InputOutput(Struct, gc=False):
    """Usage as images and transcriptions tell it; ``type`` is ``duration`` where seconds are billed, not tokens."""

    type: str = "tokens"
    input_tokens: int | None = None
    output_tokens: int = 0
    input_tokens_details: _InputDetails | None = None


decode_object = msgspec.json.Decoder(UpstreamObject).decode
decode_page = msgspec.json.Decoder(ObjectPage).decode
_decode_holder = msgspec.json.Decoder(_Holder).decode
_decode_input_output = msgspec.json.Decoder(_InputOutput).decode


def usage_of(body: bytes) -> Usage | None:
    """The tokens that an answer or a stream's event bills; None where it tells none, or nonsense."""
    try:
        raw = _decode_holder(body).usage
        if not is_given(raw):
            return None
        counts = _decode_input_output(raw)
    except DECODE_ERRORS:
        return None
    if counts.input_tokens is None:
        return read_usage(raw) if counts.type == "tokens" and b"prompt_tokens" in bytes(raw) else None
    details = counts.input_tokens_details
    cached = (details.cached_tokens if details is not None else 0) or 0
    plausible = 0 <= cached <= counts.input_tokens and counts.output_tokens >= 0
    return Usage(counts.input_tokens, counts.output_tokens, cached) if plausible else None
