"""Chat answers and chunks as the texts of the legacy completions API."""

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.wire import completions as wire
from gateway.wire import openai as chat


def whole_of(data: bytes, echoed: str) -> bytes:
    """A chat completion as a text completion, ``echoed`` before each text. Raises ``upstream_invalid``."""
    answer = _decode(data)
    choices = [
        _choice(choice.index, echoed + _text(choice.message), choice.finish_reason, _Logprobs(len(echoed)).of(choice))
        for choice in answer.choices
    ]
    return chat.encode(_frame(answer, choices))


class ChunkWriter:
    """The chunks of one stream, rewritten one by one."""

    __slots__ = ("_begun", "_echoed", "_logprobs")

    def __init__(self, echoed: str) -> None:
        self._echoed = echoed
        self._begun: set[int] = set()
        """Choices whose echo is out."""
        self._logprobs: dict[int, _Logprobs] = {}

    def write(self, data: bytes) -> bytes:
        """A chat chunk as a chunk of text. Raises ``upstream_invalid``."""
        chunk = _decode(data)
        return chat.encode(_frame(chunk, [self._choice(choice) for choice in chunk.choices]))

    def _choice(self, choice: wire.ChatChoice) -> dict[str, object]:
        index, text = choice.index, _text(choice.delta)
        if index not in self._begun:
            self._begun.add(index)
            self._logprobs[index] = _Logprobs(len(self._echoed))
            text = self._echoed + text
        return _choice(index, text, choice.finish_reason, self._logprobs[index].of(choice))


class _Logprobs:
    """Token probabilities of one choice; remembers where its text has come to."""

    __slots__ = ("_offset",)

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def of(self, choice: wire.ChatChoice) -> dict[str, object] | None:
        """Four parallel lists, or None where the provider gave none."""
        given = choice.logprobs
        if given is None or given.content is None:
            return None
        offsets: list[int] = []
        for item in given.content:
            offsets.append(self._offset)
            self._offset += len(item.token)
        return {
            "tokens": [item.token for item in given.content],
            "token_logprobs": [item.logprob for item in given.content],
            "top_logprobs": [{top.token: top.logprob for top in item.top_logprobs or ()} for item in given.content],
            "text_offset": offsets,
        }


def _decode(data: bytes) -> wire.ChatAnswer:
    try:
        return wire.decode_chat(data)
    except chat.DECODE_ERRORS as error:
        raise GatewayError(
            UPSTREAM_INVALID, "the provider's answer is not a chat completion", cause=f"{error}: {data[:200]!r}"
        ) from None


def _text(said: wire.ChatSaid) -> str:
    if said.tool_calls or chat.is_given(said.function_call):
        raise GatewayError(UPSTREAM_INVALID, "the model called a tool, for which /v1/completions has no form")
    return said.content or said.refusal or ""


def _frame(answer: wire.ChatAnswer, choices: list[dict[str, object]]) -> dict[str, object]:
    frame: dict[str, object] = {
        "id": answer.id,
        "object": wire.OBJECT,
        "created": answer.created,
        "model": answer.model,
        "choices": choices,
    }
    if answer.system_fingerprint is not None:
        frame["system_fingerprint"] = answer.system_fingerprint
    if chat.is_given(answer.usage):
        frame["usage"] = answer.usage
    return frame


def _choice(index: int, text: str, finish: str | None, logprobs: dict[str, object] | None) -> dict[str, object]:
    return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}
