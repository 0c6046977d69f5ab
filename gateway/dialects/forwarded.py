"""Bodies of forwarded calls: what the gateway reads of them (model, user, whether to stream), and the model exchanged."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.core.errors import MALFORMED, UNSUPPORTED, GatewayError
from gateway.core.events import Usage
from gateway.core.forward import AUDIO, EMBEDDINGS, IMAGES
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.chat import CHAT_DIALECT, malformed
from gateway.dialects.naming import MAX_LABEL, MAX_MODEL, check_names, labels
from gateway.wire import openai as wire
from gateway.wire.multipart import MultipartError, text_fields
from gateway.wire.sound import length_ms

MAX_INPUTS = 2048
"""Texts in one embeddings call: OpenAI's own bound. Every number that multiplies cost is bounded (threat T12)."""
MAX_PICTURES = 10
"""Asked for in one call: likewise."""

_READ = ("model", "user", "stream")
_DRAWN = (*_READ, "n", "size", "quality")
_SOUND = "file"
"""The field of a transcription that holds the sound."""
_NO_PIECES = Usage(0, 0)
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.ASCII)
_UNSAID = "-"
_TRUE = frozenset((b"true", b"True", b"1"))
"""How forms say it."""


class _Read(Struct):
    model: str | None = None
    user: str | None = None
    stream: bool | None = None
    input_file_id: str | None = None


class _Spoken(Struct):
    input: str | None = None


class _Drawn(Struct):
    n: Annotated[int, Meta(ge=0, le=MAX_PICTURES)] | None = None
    size: str | None = None
    quality: str | None = None


_decode_spoken = msgspec.json.Decoder(_Spoken).decode
_decode_drawn = msgspec.json.Decoder(_Drawn).decode
_decode_read = msgspec.json.Decoder(_Read).decode
_decode_inputs = msgspec.json.Decoder(list[Raw]).decode


class Body(Struct, frozen=True):
    """A body that was read."""

    request: ChatRequest
    """What records want to know of it."""
    content_type: bytes
    input_file_id: str | None
    """Of a new batch: the file that it works on."""
    weight: int
    """Characters of input that are paid for, for the estimate of a call that is interrupted."""
    pieces: Usage
    """What it asks for that is billed by the piece: characters of a text to be read aloud, pictures of a size and quality, and the
    length of a sound to be written down, as its file tells it."""
    _fields: dict[str, Raw] | None
    _form: bytes
    _model: slice | None

    def asking(self, model: str) -> bytes:
        """The bytes to send, with this model named (empty: none); each other field as it came."""
        if self._fields is not None:
            return wire.encode({**self._fields, "model": model} if model else self._fields)
        where = self._model
        if where is None or model == self.request.model:
            return self._form
        return b"".join((self._form[: where.start], model.encode(), self._form[where.stop :]))


def read_forwarded(inbound: Inbound) -> Body:
    """Decode as much of a JSON body or a form as the gateway acts on. Raises ``malformed``, ``unsupported``."""
    content_type, data = inbound.headers.get(b"content-type", b""), inbound.body
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        return _form_body(inbound, content_type, data)
    if kind not in {b"application/json", b""}:
        raise GatewayError(UNSUPPORTED, "content-type: send application/json or multipart/form-data", param="content-type")
    if not data:
        return Body(_request(inbound, _Read()), b"", None, 0, _NO_PIECES, None, b"", None)
    pieces = _NO_PIECES
    try:
        read, fields = _decode_read(data), wire.decode_fields(data)
        if inbound.door == AUDIO:
            pieces = Usage(0, 0, characters=len(_decode_spoken(data).input or ""))
        elif inbound.door == IMAGES:
            drawn = _decode_drawn(data)
            pieces = _pictures(drawn.n, drawn.size, drawn.quality)
    except wire.DECODE_ERRORS as error:
        raise malformed(error) from None
    weight = _check_inputs(read, fields) if inbound.door == EMBEDDINGS else pieces.characters
    request = _request(inbound, read)
    return Body(request, b"application/json", read.input_file_id, weight, pieces, fields, b"", None)


class ForwardedSpeech:
    """The ``Speech`` of all forwarded doors."""

    def read(self, inbound: Inbound) -> ChatRequest:
        """What records want to know of a call. Raises as :func:`read_forwarded`."""
        return read_forwarded(inbound).request

    def problem_head(self, request_id: str) -> str:
        """The same as of the chat doors: the same SDKs call here."""
        return CHAT_DIALECT.problem_head(request_id)


def _form_body(inbound: Inbound, content_type: bytes, data: bytes) -> Body:
    draws, hears = inbound.door == IMAGES, inbound.door == AUDIO
    try:
        places = text_fields(content_type.decode("latin-1"), data, _DRAWN if draws else _READ, _SOUND if hears else None)
        sound = places.pop(_SOUND, None)
        texts = {name: data[where] for name, where in places.items()}
        drawn = {name: texts[name].decode() for name in ("n", "size", "quality") if name in texts}
        read = _Read(texts.get("model", b"").decode(), texts.get("user", b"").decode() or None, texts.get("stream") in _TRUE)
    except (MultipartError, UnicodeDecodeError) as error:
        raise GatewayError(MALFORMED, f"the form cannot be read: {error}") from None
    pieces = _NO_PIECES
    if draws:
        pieces = _pictures(_count(drawn.get("n")), drawn.get("size"), drawn.get("quality"))
    elif sound is not None:
        pieces = Usage(0, 0, audio_ms=length_ms(data, sound.start, sound.stop) or 0)
    return Body(_request(inbound, read), content_type, None, 0, pieces, None, data, places.get("model"))


def _count(text: str | None) -> int | None:
    """``n`` of a form. Raises ``malformed``."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= MAX_PICTURES):
        raise GatewayError(MALFORMED, f"n: a whole number of at most {MAX_PICTURES}", param="n")
    return int(text)


def _pictures(n: int | None, size: str | None, quality: str | None) -> Usage:
    return Usage(0, 0, images=1 if n is None else n, picture=f"{_word(size)} {_word(quality)}")


def _word(text: str | None) -> str:
    """What was asked, in one short word; what is no such word is no size and no quality that anybody has a price for."""
    said = (text or "auto").lower()
    return _UNSAID if said == "auto" else said if _WORD.fullmatch(said) else "?"


def _request(inbound: Inbound, read: _Read) -> ChatRequest:
    check_names(read.model or "", read.user)
    given = labels(inbound.headers)
    return ChatRequest(
        model=read.model or "",
        reference=None,
        variables={},
        messages=(),
        stream=bool(read.stream),
        include_usage=False,
        choices=1,
        unit=None,
        user=read.user[:MAX_LABEL] if read.user else None,
        session=given.session,
        tags=given.tags,
        fields={},
    )


def _check_inputs(read: _Read, fields: dict[str, Raw]) -> int:
    """Bounds of an embeddings call; the length of its input as JSON."""
    if not read.model:
        raise GatewayError(MALFORMED, f"model: required, at most {MAX_MODEL} characters", param="model")
    given = bytes(fields.get("input", b""))
    if not given or given == b"null":
        raise GatewayError(MALFORMED, "input: required: a text, texts, tokens or lists of tokens", param="input")
    # Tokens of one text are a list of numbers; a list with fewer commas than texts allowed need not be counted.
    first = given[1:].lstrip()[:1]
    if given[:1] == b"[" and first in {b'"', b"["} and given.count(b",") >= MAX_INPUTS:
        try:
            count = len(_decode_inputs(given))
        except wire.DECODE_ERRORS as error:
            raise malformed(error, "input") from None
        if count > MAX_INPUTS:
            raise GatewayError(MALFORMED, f"input: {count} texts; at most {MAX_INPUTS} in one call", param="input")
    return len(given)
