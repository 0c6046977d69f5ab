"""Where text stands in answers and chunks of the chat form, and how other text is put there.

Callers see everything that an answer holds, so everything in it is accounted for: texts where the API has them
(:data:`TEXT_FIELDS`), tool calls, what is known to be no text, and *asides*: texts in any other place. Such are transcripts of spoken
answers, signed copies of thoughts, lists of sources, the message so far that some servers repeat in each chunk, and fields that are
newer than this file. What is not changed stays byte for byte.

Sources: the published OpenAPI document of the Chat Completions API; the names of reasoning are those of :mod:`gateway.wire.chat`;
fields of other servers are those of vLLM, OpenRouter, Perplexity, Azure and Groq as they document them.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, cast

import msgspec
from msgspec import Raw, Struct

from gateway.wire.chat_texts import LEGACY_CALL, Call, Function, put_calls

TextField = Literal["content", "refusal", "reasoning_content", "reasoning"]
TEXT_FIELDS: tuple[TextField, ...] = ("content", "refusal", "reasoning_content", "reasoning")
Holder = Literal["said", "choice", "answer"]
"""What a field belongs to: the message or delta of a choice, the choice, or the answer as a whole."""
NO_TEXT = frozenset({
    "b64_json", "data", "encrypted_content", "format", "id", "object", "role", "signature", "thought_signature", "type",
})  # fmt: skip
"""Names, within asides, of what nobody reads: ids, kinds, and what is encoded. ``data`` is sound or ciphertext."""

# A whole answer says ``message`` where a chunk says ``delta``; else their choices are the same.


class _Token(Struct, gc=False):
    token: str


class _Logprobs(Struct):
    content: list[_Token] | None = None
    refusal: list[_Token] | None = None


class Said(Struct, forbid_unknown_fields=True):
    """``message`` or ``delta``."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None
    function_call: Function | None = None
    role: Raw = Raw()
    annotations: list[Raw] | None = None
    """Sources of an answer; none is not worth the long way, which is taken where there are some."""
    audio: None = None


class SaidChoice(Struct, forbid_unknown_fields=True):
    """``choices[]``."""

    index: int = 0
    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    native_finish_reason: str | None = None
    stop_reason: str | int | None = None
    content_filter_results: Raw = Raw()

    @property
    def said(self) -> Said:
        """What the choice says here."""
        return self.delta or self.message or _NOTHING


class SaidAnswer(Struct, forbid_unknown_fields=True):
    """A whole answer or a chunk."""

    choices: list[SaidChoice] = []
    id: Raw = Raw()
    object: Raw = Raw()
    created: Raw = Raw()
    model: Raw = Raw()
    usage: Raw = Raw()
    system_fingerprint: Raw = Raw()
    service_tier: Raw = Raw()
    obfuscation: Raw = Raw()
    """OpenAI's padding against the measuring of chunks."""
    provider: Raw = Raw()
    x_groq: Raw = Raw()
    prompt_filter_results: Raw = Raw()


class Aside(Struct, frozen=True, gc=False):
    """A text in none of the API's places, or one that says again what stands elsewhere."""

    choice: int | None
    """None: of the answer as a whole."""
    holder: Holder
    field: str
    """The field of the holder that is taken away where the text is not to be shown."""
    path: str
    """Where the text is; in a stream, pieces of one path make one text if it :attr:`grows`."""
    text: str
    grows: bool = False
    """Whether the next chunk may go on with it."""


_NOTHING = Said()
_NULL = b"null"
_decode_said = msgspec.json.Decoder(SaidAnswer).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_index = msgspec.json.Decoder(int).decode
_decode_logprobs = msgspec.json.Decoder(_Logprobs | None).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_IN_SAID = frozenset(Said.__struct_fields__) - {"annotations", "audio"}
_IN_CHOICE = frozenset(SaidChoice.__struct_fields__) - {"logprobs"}
_IN_ANSWER = frozenset(SaidAnswer.__struct_fields__)


def read_said(data: bytes) -> tuple[SaidAnswer, list[Aside]]:
    """What an answer or a chunk says, and everything else in it that is text. Raises one of ``DECODE_ERRORS``.

    Nearly every answer has nothing else, and is read once.
    """
    try:
        answer = _decode_said(data)
    except msgspec.ValidationError:
        return _read_all(data)
    if any(choice.said.annotations or (choice.delta is not None and choice.message is not None) for choice in answer.choices):
        return _read_all(data)
    return answer, [aside for choice in answer.choices if choice.logprobs is not None for aside in _spelled(choice)]


def is_known(data: bytes) -> bool:
    """Whether there is nothing in an answer or a chunk but the API's own fields of text and calls. Raises ``msgspec.DecodeError``."""
    try:
        answer = _decode_said(data)
    except msgspec.ValidationError:
        return False
    return not any(choice.said.annotations for choice in answer.choices)


def is_plain(data: bytes) -> bool:
    """Whether nothing but ``content`` and tool calls of an answer can be text; told in one reading."""
    try:
        answer = _decode_said(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    for choice in answer.choices:
        said = choice.said
        if choice.logprobs is not None or said.refusal or said.reasoning_content or said.reasoning or said.annotations:
            return False
        if choice.delta is not None and choice.message is not None:
            return False
    return True


def _spelled(choice: SaidChoice) -> Iterator[Aside]:
    """The tokens of ``logprobs``, unless they are those of a text beside them: servers send them early, or those of tool calls."""
    said, given = choice.said, choice.logprobs
    assert given is not None
    for name, tokens in (("content", given.content), ("refusal", given.refusal)):
        text = "".join([token.token for token in tokens or ()])
        if text and text not in {said.content, said.refusal, said.reasoning_content, said.reasoning}:
            yield Aside(choice.index, "choice", "logprobs", f"logprobs.{name}", text, choice.delta is not None)


def _read_all(data: bytes) -> tuple[SaidAnswer, list[Aside]]:
    """The long way: what is known is read as ever, and what is not makes asides."""
    fields = _decode_fields(data)
    asides: list[Aside] = []
    known: list[Raw] = []
    for raw in _decode_items(fields.get("choices", b"[]")):
        choice = _decode_fields(raw)
        index = _decode_index(choice["index"]) if "index" in choice else 0
        both = _is_given(choice, "delta") and _is_given(choice, "message")
        grows = _is_given(choice, "delta")
        kept = {name: value for name, value in choice.items() if name in _IN_CHOICE and not (both and name == "message")}
        for name, value in choice.items():
            if name not in kept and not (name == "logprobs" and _is_logprobs(value)):
                asides += _asides(index, "choice", name, value, grows=False)
            elif name == "logprobs":
                kept[name] = value
        held = "delta" if grows else "message"
        if _is_given(kept, held):
            said = _decode_fields(kept[held])
            for name, value in said.items():
                if name not in _IN_SAID:
                    asides += _asides(index, "said", name, value, grows=grows)
            kept[held] = Raw(_encode({name: value for name, value in said.items() if name in _IN_SAID}))
        known.append(Raw(_encode(kept)))
    for name, value in fields.items():
        if name not in _IN_ANSWER:
            asides += _asides(None, "answer", name, value, grows=False)
    answer = {name: value for name, value in fields.items() if name in _IN_ANSWER}
    read = _decode_said(_encode({**answer, "choices": known}))
    return read, asides + [aside for choice in read.choices if choice.logprobs is not None for aside in _spelled(choice)]


def _is_given(fields: Mapping[str, Raw], name: str) -> bool:
    return bytes(fields.get(name, _NULL)) != _NULL


def _is_logprobs(raw: Raw) -> bool:
    try:
        _decode_logprobs(raw)
    except msgspec.ValidationError:
        return False
    return True


def _asides(choice: int | None, holder: Holder, field: str, raw: Raw, *, grows: bool) -> Iterator[Aside]:
    """Every text below a field. Pictures within an address (``data:``) are none."""
    left: list[tuple[str, Any]] = [(field, _decode_any(raw))]
    while left:
        path, value = left.pop()
        if isinstance(value, str):
            if value and not value.startswith("data:"):
                yield Aside(choice, holder, field, path, value, grows)
        elif isinstance(value, list):
            items = cast("list[Any]", value)
            left += [(f"{path}[{i}]", items[i]) for i in reversed(range(len(items)))]
        elif isinstance(value, dict):
            named = cast("dict[str, Any]", value)
            left += [(f"{path}.{name}", named[name]) for name in reversed(named) if name not in NO_TEXT]


def said_calls(said: Said) -> list[tuple[int, Call]]:
    """The (pieces of) tool calls of a choice, by their index."""
    calls = [(place if call.index is None else call.index, call) for place, call in enumerate(said.tool_calls or ())]
    if said.function_call is not None:
        calls.append((LEGACY_CALL, Call(function=said.function_call)))
    return calls


class Put(Struct):
    """Other text for one choice."""

    texts: dict[str, str] = {}
    """By field."""
    calls: dict[int, str] = {}
    """Arguments by the call's index."""
    said: set[str] = set()
    """Fields of the message or delta that are taken away."""
    choice: set[str] = set()
    """Fields of the choice that become null."""


def with_said(data: bytes, puts: Mapping[int, Put], without: Collection[str] = ()) -> bytes:
    """A whole answer or a chunk with other text in some choices, and without some fields of its own.

    The ``logprobs`` of a changed choice would repeat the old text, so they become null.
    """
    fields = {name: value for name, value in _decode_fields(data).items() if name not in without}
    choices: list[Raw] = []
    for raw in _decode_items(fields.get("choices", b"[]")):
        choice = _decode_fields(raw)
        put = puts.get(_decode_index(choice["index"]) if "index" in choice else 0)
        if put is None:
            choices.append(raw)
            continue
        name = "delta" if _is_given(choice, "delta") else "message"
        if _is_given(choice, name):
            said = {field: value for field, value in _decode_fields(choice[name]).items() if field not in put.said}
            for field, text in put.texts.items():
                said[field] = Raw(_encode(text))
            put_calls(said, put.calls)
            choice[name] = Raw(_encode(said))
        for field in {"logprobs", *put.choice} & choice.keys():
            choice[field] = Raw(_NULL)
        choices.append(Raw(_encode(choice)))
    if "choices" in fields:
        fields["choices"] = Raw(_encode(choices))
    return _encode(fields)
