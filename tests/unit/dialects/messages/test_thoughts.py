"""Signed thoughts of other providers' models: to an Anthropic client, and back to who signed them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic.types import Message as VendorMessage

from gateway.core.conversation import Conversation
from gateway.core.events import Event
from gateway.core.requests import Inbound
from gateway.core.sameness import rendered_digest
from gateway.core.upstream import UpstreamCall
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.providers.anthropic.translator import AnthropicTranslator
from gateway.providers.openai import OpenAITranslator
from tests.unit.dialects.messages.test_framing import INBOUND, REQUEST, joined
from tests.unit.providers.golden import FOLDER, TRANSLATORS, stream_bytes, target

CASES = [msgspec.json.decode(path.read_bytes()) for path in sorted(Path(FOLDER / "thoughts").glob("*.json"))]
cases = pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def conversation(content: list[dict[str, Any]]) -> Conversation:
    """A caller's next turn, with an earlier answer in it."""
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "17"} for block in content if block["type"] == "tool_use"
    ]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": [*results, {"type": "text", "text": "and?"}]},
    ]
    body = msgspec.json.encode({"model": "m", "max_tokens": 9, "messages": messages})
    return MESSAGES_DIALECT.read(Inbound("messages", {}, body, "", "", 0, 0.0, 9.0)).messages


def sent(translator: Any, content: list[dict[str, Any]], model: str = "m", dialect: str = "chat") -> Any:
    """The turn with the earlier answer as a provider gets it."""
    call = UpstreamCall(model, conversation(content), stream=False, fields={}, dialect=dialect)
    body = msgspec.json.decode(translator.request(target("bedrock"), call).body)
    return (body.get("contents") or body["messages"])[1]


def whole(said: dict[str, Any]) -> list[dict[str, Any]]:
    """The content that an Anthropic client gets for a message of the chat form."""
    body = {"choices": [{"index": 0, "message": {"role": "assistant", **said}, "finish_reason": "stop"}]}
    message = MESSAGES_DIALECT.whole(Event(msgspec.json.encode(body)), REQUEST, INBOUND, native=False)
    VendorMessage.model_validate(msgspec.json.decode(message))
    content: list[dict[str, Any]] = msgspec.json.decode(message)["content"]
    return content


def streamed(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The same for chunks."""
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    events = [Event(msgspec.json.encode({"choices": [{"index": 0, "delta": delta}]})) for delta in deltas]
    message = joined(framer.frames(events) + framer.end(None, None))
    return [block.model_dump(exclude_none=True) for block in message.content]


@cases
def test_signed_thoughts_come_whole(case: dict[str, Any]) -> None:
    event = TRANSLATORS[case["provider"]].answer(msgspec.json.encode(case["answer"]), "chat", case["model"])
    message = msgspec.json.decode(MESSAGES_DIALECT.whole(event, REQUEST, INBOUND, native=False))
    assert message["content"] == case["content"]
    VendorMessage.model_validate(message, strict=True)


@cases
def test_signed_thoughts_come_in_a_stream(case: dict[str, Any]) -> None:
    decoder = TRANSLATORS[case["provider"]].decoder("chat", case["model"])
    framer = MESSAGES_DIALECT.framer(REQUEST, INBOUND, native=False)
    events = decoder.feed(stream_bytes(case["provider"], case["stream"]))
    assert decoder.done
    message = joined(b"".join([framer.frames([event]) for event in events]) + framer.end(events[-1].usage, None))
    assert [block.model_dump(exclude_none=True) for block in message.content] == case["content"]


@cases
def test_signed_thoughts_go_back(case: dict[str, Any]) -> None:
    assert sent(TRANSLATORS[case["provider"]], case["content"], case["model"]) == case["turn"]


@cases
@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_anthropic_gets_its_own_thoughts_and_no_others(case: dict[str, Any], dialect: str) -> None:
    turn = sent(AnthropicTranslator(lambda: 0), case["content"], dialect=dialect)
    assert turn == {"role": "assistant", "content": case["to_anthropic"]}


@cases
def test_openais_like_get_no_thoughts(case: dict[str, Any]) -> None:
    assert sent(OpenAITranslator(), case["content"]).keys() <= {"role", "content", "tool_calls"}


def test_what_the_provider_is_told_names_the_answer() -> None:
    """Answers to other thoughts are other answers, so they are not recalled for each other."""
    names = {
        rendered_digest("a", "v", "", "m", conversation([block, {"type": "text", "text": "x"}]), {})
        for block in (SIGNED, {**SIGNED, "signature": "b3RoZXI="}, {"type": "text", "text": ""})
    }
    assert len(names) == 3


def test_a_signature_over_other_text_is_not_told() -> None:
    """A guard has changed what is shown."""
    said = {"reasoning_content": "Hm, [redacted].", "thinking_blocks": [SIGNED, {"type": "redacted_thinking", "data": "QQ=="}]}
    changed = [
        {"type": "thinking", "thinking": "Hm, [redacted].", "signature": ""},
        {"type": "redacted_thinking", "data": "QQ=="},
    ]
    assert whole(said) == changed
    assert streamed({"reasoning_content": "Hm, [redacted]."}, {"thinking_blocks": said["thinking_blocks"]}) == changed
    assert streamed({"thinking_blocks": [SIGNED]}, {"content": "x"}) == [{"type": "text", "text": "x"}]


def test_a_whole_answer_that_is_streamed_says_the_same() -> None:
    blocks = [SIGNED, {"type": "redacted_thinking", "data": "QQ=="}, {**SIGNED, "thinking": "Aha."}]
    said = {"reasoning_content": "Hm.Aha.", "thinking_blocks": blocks, "content": "x"}
    assert streamed(said) == whole(said) == [*blocks, {"type": "text", "text": "x"}]


def test_pieces_as_other_gateways_send_them_are_joined() -> None:
    """LiteLLM repeats each piece of thinking in a block, and signs at the end with an empty one."""
    piece = {"type": "thinking", "signature": None}
    assert streamed(
        {"reasoning_content": "H", "thinking_blocks": [{**piece, "thinking": "H"}]},
        {"reasoning_content": "m.", "thinking_blocks": [{**piece, "thinking": "m."}]},
        {"reasoning_content": "", "thinking_blocks": [{**SIGNED, "thinking": ""}]},
        {"content": "x"},
    ) == [SIGNED, {"type": "text", "text": "x"}]


@pytest.mark.parametrize("odd", [7, "x", {}, [7], [{"type": 7}], [{"type": "newest", "signature": "x"}], None])
def test_something_else_under_these_names_is_no_thought(odd: object) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}, "extra_content": odd}
    said = {"content": "x", "thinking_blocks": odd, "extra_content": odd, "tool_calls": [call]}
    assert [block["type"] for block in whole(said)] == ["text", "tool_use"]
    google = {"google": {"thought_signature": odd}}
    assert [block["type"] for block in whole({"content": "x", "extra_content": google if odd != "x" else odd})] == ["text"]


def test_signatures_that_sign_nothing_are_left_out() -> None:
    content = [{**SIGNED, "signature": "google.call:eA=="}, {"type": "text", "text": "x"}]
    assert sent(TRANSLATORS["gemini"], content) == {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "x"}]}
