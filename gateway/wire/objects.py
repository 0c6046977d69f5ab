"""Files and batches in OpenAI's JSON, as far as their ids go; and usage, wherever forwarded answers keep it."""

import msgspec
from msgspec import Raw, Struct, structs

from gateway.core.events import LARGEST_COUNT, Usage
from gateway.wire.openai import ABSENT, DECODE_ERRORS, is_given, read_usage
from gateway.wire.usage import responses_usage, sensible


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


class _Pictures(Struct):
    data: list[Raw] = []


class _Transcript(Struct, gc=False):
    """A transcription with its times (``verbose_json``)."""

    duration: float | str | None = None
    """Seconds; OpenAI's own schema once said that it is a text."""


class _Heard(Struct, gc=False):
    """``usage.input_token_details`` of a transcription: Images and Responses call it otherwise."""

    audio_tokens: int | None = 0


class _Shape(Struct, gc=False):
    """Which of its forms a ``usage`` has. ``type`` is ``duration`` where ``seconds`` are billed, not tokens."""

    type: str = "tokens"
    prompt_tokens: int | None = None
    input_tokens: int | None = None
    input_token_details: _Heard | None = None
    output_tokens_details: Raw = ABSENT
    seconds: float | None = None


decode_object = msgspec.json.Decoder(UpstreamObject).decode
decode_page = msgspec.json.Decoder(ObjectPage).decode
_decode_holder = msgspec.json.Decoder(_Holder).decode
_decode_pictures = msgspec.json.Decoder(_Pictures).decode
_decode_transcript = msgspec.json.Decoder(_Transcript).decode
_decode_shape = msgspec.json.Decoder(_Shape).decode


def usage_of(body: bytes, *, draws: bool = False) -> Usage | None:
    """What an answer or a stream's event bills; None where it tells nothing, or nonsense.

    ``draws``: what comes out are pictures. Then output that is not told apart is theirs, and without tokens they are counted.
    """
    try:
        raw = _decode_holder(body).usage
        if not is_given(raw):
            made = len(_decode_pictures(body).data) if draws else 0
            return Usage(0, 0, images=made) if made else None
        shape = _decode_shape(raw)
    except DECODE_ERRORS:
        return None
    if shape.prompt_tokens is not None:
        return read_usage(raw)
    if shape.type == "duration":
        return _heard_for(shape.seconds)
    usage = responses_usage(raw) if shape.type == "tokens" and shape.input_tokens is not None else None
    if usage is None:
        return None
    if shape.input_token_details is not None:
        usage = sensible(structs.replace(usage, audio_input=shape.input_token_details.audio_tokens or 0))
    elif draws and not is_given(shape.output_tokens_details):
        usage = structs.replace(usage, image_output=usage.output)
    return usage


def length_of(transcription: bytes) -> Usage | None:
    """The length of the sound that a transcription tells beside its words; None where it does not."""
    try:
        said = _decode_transcript(transcription).duration
        return _heard_for(None if said is None else float(said))
    except (*DECODE_ERRORS, ValueError):
        return None


def _heard_for(seconds: float | None) -> Usage | None:
    """Sound that is billed by its length, to the millisecond."""
    if seconds is None or not 0 <= seconds < LARGEST_COUNT // 1000:
        return None
    return Usage(0, 0, audio_ms=round(seconds * 1000))
