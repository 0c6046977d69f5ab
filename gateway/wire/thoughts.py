"""What a model thinks aloud, in an event of any dialect: text that callers see beside the answer.

Sources: ``reasoning_content`` (DeepSeek) and ``reasoning`` beside ``content`` in the Chat Completions API; ``thinking`` blocks of
Anthropic's Messages API; ``reasoning`` items of OpenAI's Responses API, with summaries and text. Encrypted thoughts are nobody's text.
What has another form than these is no thought.
"""

from typing import cast

from msgspec.json import Decoder

_COUNT = b'"reasoning_tokens"'
"""The one word of usage that looks like a thought; it is in most answers."""
_PIECES = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})

_Object = dict[str, object]
_NOTHING: _Object = {}
_decode = Decoder(_Object).decode


def may_think(data: bytes) -> bool:
    """Whether an event might hold a thought; told without reading it."""
    return b"thinking" in data or data.count(b"reasoning") > data.count(_COUNT)


def thoughts(data: bytes) -> list[tuple[int, str]]:
    """The thoughts in an event, by choice. Raises one of ``DECODE_ERRORS`` for what is no JSON object."""
    if not may_think(data):
        return []
    event = _decode(data)
    found: list[tuple[int, str]] = []
    for choice in _objects(event, "choices"):
        said, index = _object(choice, "message") or _object(choice, "delta"), choice.get("index")
        text = _text(said, "reasoning_content") or _text(said, "reasoning")
        found.append((index if isinstance(index, int) else 0, text))
    if event.get("type") in _PIECES:
        found.append((0, _text(event, "delta")))
    blocks = (_object(event, "delta"), _object(event, "content_block"), *_objects(event, "content"))
    found += [(0, _text(block, "thinking")) for block in blocks]
    for item in _objects(event, "output"):
        if item.get("type") == "reasoning":
            found += [(0, _text(part, "text")) for part in (*_objects(item, "summary"), *_objects(item, "content"))]
    return [(choice, text) for choice, text in found if text]


def thoughts_again(data: bytes) -> list[str]:
    """Thoughts that a stream of the Responses API says when they are complete: mostly those that have come as deltas before.

    Raises as :func:`thoughts`.
    """
    if b"reasoning" not in data:
        return []
    event = _decode(data)
    kind = event.get("type")
    if not isinstance(kind, str) or not kind.startswith("response."):
        return []
    found = [_text(event, "text"), _text(_object(event, "part"), "text")] if "reasoning" in kind else []
    for item in (_object(event, "item"), *_objects(_object(event, "response"), "output")):
        if item.get("type") == "reasoning":
            found += [_text(part, "text") for part in (*_objects(item, "summary"), *_objects(item, "content"))]
    return [text for text in found if text]


def _object(of: _Object, name: str) -> _Object:
    value = of.get(name)
    return cast("_Object", value) if isinstance(value, dict) else _NOTHING


def _objects(of: _Object, name: str) -> list[_Object]:
    value = of.get(name)
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("_Object", item) for item in items if isinstance(item, dict)]


def _text(of: _Object, name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) else ""
