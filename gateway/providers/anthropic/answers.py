"""A whole answer of the Messages API -> one event, native or as a chat completion."""

from gateway.core.events import Event, Usage
from gateway.core.upstream import CHAT
from gateway.providers.anthropic.failures import broken
from gateway.wire import anthropic as wire
from gateway.wire.openai import DECODE_ERRORS, encode, is_given


def event_of(body: bytes, dialect: str, created: int) -> Event:
    """The answer in ``dialect``; ``created`` is in seconds since the epoch. Raises ``upstream_invalid``."""
    try:
        answer = wire.decode_answer(body)
        text = "".join([block.text for block in answer.content if block.type == "text"])
        usage = wire.read_counts(answer.usage).usage()
        finish = wire.finish_reason(answer.stop_reason)
        # Arguments of tools are read here: they may be no text.
        data = body if dialect != CHAT else encode(_completion(answer, text, finish, created, usage_json(usage)))
    except DECODE_ERRORS as error:
        raise broken("gave an answer that is no message", error, body) from None
    return Event(data, ((0, text),), finish, usage)


def usage_json(usage: Usage | None) -> dict[str, object] | None:
    """``usage`` in the chat form: the input as one number, with its cached part in the details."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def thinking_block(block: wire.AnswerBlock) -> dict[str, str]:
    """A thinking block as it must come back in the next turn."""
    if block.type == "redacted_thinking":
        return {"type": block.type, "data": block.data}
    return {"type": block.type, "thinking": block.thinking, "signature": block.signature}


def _completion(
    answer: wire.Answer, text: str, finish: str | None, created: int, usage: dict[str, object] | None
) -> dict[str, object]:
    calls = [
        {
            "id": block.id,
            "type": "function",
            "function": {"name": block.name, "arguments": bytes(block.input).decode() if is_given(block.input) else "{}"},
        }
        for block in answer.content
        if block.type == "tool_use"
    ]
    thoughts = [block for block in answer.content if block.type in {"thinking", "redacted_thinking"}]
    message: dict[str, object] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
    if thoughts:
        message["reasoning_content"] = "".join([block.thinking for block in thoughts])
        message["thinking_blocks"] = [thinking_block(block) for block in thoughts]
    if calls:
        message["tool_calls"] = calls
    completion: dict[str, object] = {
        "id": answer.id,
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    }
    if usage is not None:
        completion["usage"] = usage
    return completion
