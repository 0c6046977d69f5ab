"""Signed thoughts of other providers' models in reasoning items: to a client of the Responses API, and back to who signed them."""

import base64
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from gateway.core.errors import GatewayError
from gateway.core.upstream import UpstreamCall
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.dialects.responses.thoughts import MARK
from gateway.providers.openai import OpenAITranslator
from tests.unit.dialects.responses.conftest import chunk, events_of, inbound, read
from tests.unit.dialects.responses.test_framing import completion, stream, whole
from tests.unit.providers.golden import FOLDER, TRANSLATORS, stream_bytes, target

CASES = [msgspec.json.decode(path.read_bytes()) for path in sorted((FOLDER / "thoughts").glob("*.json"))]
cases = pytest.mark.parametrize("case", CASES, ids=[case["about"] for case in CASES])
SIGNED = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "QQ=="}


def asked_again(output: list[dict[str, Any]]) -> Any:
    """The next call of a client that gives an answer's output back."""
    results = [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "17"}
        for item in output
        if item["type"] == "function_call"
    ]
    return read(input=[{"role": "user", "content": "hi"}, *output, *results, {"role": "user", "content": "and?"}])


def sent(translator: Any, output: list[dict[str, Any]], model: str = "m", dialect: str = "chat") -> Any:
    """The turns as a provider gets them."""
    call = UpstreamCall(model, asked_again(output).messages, stream=False, fields={}, dialect=dialect)
    body = msgspec.json.decode(translator.request(target("bedrock"), call).body)
    return body.get("contents") or body.get("messages") or body["input"]


def opened(item: dict[str, Any]) -> Any:
    return msgspec.json.decode(base64.b64decode(item["encrypted_content"].removeprefix(MARK)))


@cases
@pytest.mark.parametrize("streamed", [False, True])
def test_signed_thoughts_come_and_go_back(case: dict[str, Any], streamed: bool) -> None:
    translator = TRANSLATORS[case["provider"]]
    if streamed:
        events = translator.decoder("chat", case["model"]).feed(stream_bytes(case["provider"], case["stream"]))
        output = stream(read(), *[[event] for event in events])[-1]["response"]["output"]
    else:
        event = translator.answer(msgspec.json.encode(case["answer"]), "chat", case["model"])
        body = msgspec.json.decode(RESPONSES_DIALECT.whole(event, read(), inbound({}), native=False))
        Response.model_validate(body)
        output = body["output"]
    assert sent(translator, output, case["model"])[1] == case["turn"]
    plain = sent(OpenAITranslator(), output)
    assert all(message.keys() <= {"role", "content", "tool_calls", "tool_call_id"} for message in plain)
    native = sent(OpenAITranslator(has_responses=True), output, dialect="responses")
    assert MARK not in str(native)
    assert len([item for item in native if item.get("type") == "function_call"]) == len(
        [item for item in output if item["type"] == "function_call"]
    )


def test_thoughts_that_a_guard_has_changed_are_not_told_again() -> None:
    said = {"reasoning_content": "Hm, [redacted].", "thinking_blocks": [SIGNED, HIDDEN], "content": "x"}
    (reasoning, _) = whole(read(), completion(said))["output"]
    assert opened(reasoning) == {"thinking_blocks": [HIDDEN]}
    pieces = [
        chunk({"reasoning_content": "Hm, [redacted]."}),
        chunk({"thinking_blocks": [SIGNED]}),
        chunk({"content": "x"}, "stop"),
    ]
    assert "encrypted_content" not in str(stream(read(), pieces))


def test_openais_own_reasoning_is_as_it_was() -> None:
    theirs = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAB"}
    ours = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": MARK + base64.b64encode(b"{}").decode()}
    output = [theirs, ours, {"type": "message", "role": "assistant", "content": "x"}]
    assert sent(OpenAITranslator(has_responses=True), output, dialect="responses")[1:3] == [theirs, output[2]]


@pytest.mark.parametrize(
    "broken", ["", "?", "e30", base64.b64encode(b"[").decode(), base64.b64encode(b'{"tool_calls":7}').decode()]
)
def test_what_we_have_not_made_is_refused_by_name(broken: str) -> None:
    forged = {"type": "reasoning", "summary": [], "encrypted_content": MARK + broken}
    with pytest.raises(GatewayError) as caught:
        asked_again([forged, {"type": "message", "role": "assistant", "content": "x"}])
    assert (caught.value.kind.name, caught.value.param) == ("malformed", "input[1].encrypted_content")


def test_signed_thoughts_of_nothing_are_left_out() -> None:
    lone = {"type": "reasoning", "summary": [], "encrypted_content": MARK + base64.b64encode(b"{}").decode()}
    assert [message.thoughts for message in read(input=[lone, {"role": "user", "content": "hi"}]).messages] == [None]


def test_a_stream_tells_them_before_what_they_belong_to() -> None:
    framer = RESPONSES_DIALECT.framer(read(), inbound({}), native=False)
    events = events_of(
        framer.frames([chunk({"reasoning_content": "Hm."}), chunk({"thinking_blocks": [{"index": 0, **SIGNED}]})])
    )
    (done,) = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert opened(done) == {"thinking_blocks": [SIGNED]}
