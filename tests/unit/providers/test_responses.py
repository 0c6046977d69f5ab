"""The Responses API of an upstream."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs

from gateway.core.conversation import Message
from gateway.core.errors import MALFORMED, UPSTREAM_ERROR, UPSTREAM_INCOMPLETE, UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.upstream import CHAT, Target, UpstreamCall
from gateway.providers.openai import OpenAITranslator
from gateway.providers.registry import own_translator, translators
from gateway.providers.responses import EventDecoder
from gateway.settings_providers import Provider

TARGET = Target("openai", "gpt-up", "https://api.openai.com/v1", "sk-1")
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 14,
}
NATIVE = OpenAITranslator(has_responses=True)


def raws(**fields: object) -> dict[str, Raw]:
    return {name: Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def sent(*messages: Message, stream: bool = False, stored: dict[str, Raw] | None = None, **native: object) -> Any:
    call = UpstreamCall("gpt-up", messages, stream, {}, "responses", raws(**native), stored or {})
    request = NATIVE.request(TARGET, call)
    assert request.path == "/responses"
    assert (b"authorization", b"Bearer sk-1") in request.headers
    return msgspec.json.decode(request.body)


def response(status: str = "completed", text: str = "Hi", **fields: object) -> dict[str, Any]:
    message = {"type": "message", "content": [{"type": "output_text", "text": text, "annotations": []}]}
    return {"id": "resp_up", "status": status, "output": [message], "usage": USAGE, **fields}


def frame(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode({"type": kind, **fields}) + b"\n\n"


def delta(text: str, output: int = 0) -> bytes:
    return frame("response.output_text.delta", delta=text, output_index=output, content_index=0)


def read(*frames: bytes) -> tuple[list[Event], EventDecoder]:
    decoder = NATIVE.decoder("responses")
    assert isinstance(decoder, EventDecoder)
    return decoder.feed(b"".join(frames)), decoder


@pytest.mark.parametrize("kind", ["openai", "vllm"])
def test_only_servers_that_have_it_speak_it(kind: Any) -> None:
    account = Provider(kind=kind, base_url="http://x/v1", responses=True)
    having = own_translator(account, 1000, lambda: 0, lambda: "id")
    assert having is not None
    assert having.speaks == {CHAT, "responses"}
    without = structs.replace(account, responses=None)
    assert own_translator(without, 1000, lambda: 0, lambda: "id") is None
    assert translators(1000, lambda: 0)[kind].speaks == {CHAT}


def test_the_request() -> None:
    body = sent(
        Message("system", "S", b'{"role":"system","content":"S"}'),
        Message("user", "x", b"{}", b'{"type":"reasoning","id":"rs_1"},{"role":"user",  "content":"x"}'),
        stream=True,
        tools=[{"type": "web_search"}],
        temperature=0.1,
    )
    assert body == {
        "tools": [{"type": "web_search"}],
        "temperature": 0.1,
        "model": "gpt-up",
        "input": [
            {"type": "message", "role": "system", "content": "S"},
            {"type": "reasoning", "id": "rs_1"},
            {"role": "user", "content": "x"},
        ],
        "store": False,
        "stream": True,
    }


def test_stored_parameters_take_the_native_form() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}
    stored = raws(
        temperature=0.2,
        max_tokens=10,
        reasoning_effort="low",
        verbosity="high",
        response_format=schema,
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "f"}},
        logprobs=True,
        metadata={"a": "stored"},
    )
    body = sent(
        stored=stored,
        tools=[{"type": "web_search"}],
        reasoning={"summary": "auto"},
        include=["x"],
        max_output_tokens=None,
        metadata={"a": "given"},
    )
    assert body["temperature"] == 0.2
    assert body["max_output_tokens"] == 10
    assert body["reasoning"] == {"summary": "auto", "effort": "low"}
    assert body["text"] == {"verbosity": "high", "format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}
    assert body["tools"] == [{"type": "function", "name": "f", "parameters": {}}, {"type": "web_search"}]
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    assert body["include"] == ["message.output_text.logprobs", "x"]
    assert body["metadata"] == {"a": "given"}


def test_more_stored_parameters() -> None:
    stored = raws(response_format={"type": "json_object"}, tool_choice="none", logprobs=False, metadata={"a": "b"})
    body = sent(stored=stored, text={"verbosity": "low"})
    assert body["text"] == {"verbosity": "low", "format": {"type": "json_object"}}
    assert body["tool_choice"] == "none"
    assert body["metadata"] == {"a": "b"}
    assert "include" not in body


def test_a_stored_parameter_without_a_native_form_is_named() -> None:
    with pytest.raises(GatewayError) as caught:
        sent(stored=raws(seed=1))
    assert (caught.value.kind, caught.value.param) == (MALFORMED, "params.seed")


def test_a_stored_message_of_a_tool_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        sent(Message("tool", "x", b"{}"))
    assert caught.value.kind is MALFORMED


def test_a_whole_answer() -> None:
    data = msgspec.json.encode(response())
    event = NATIVE.answer(data, "responses")
    assert (event.data, event.texts, event.finish) == (data, ((0, "Hi"),), "stop")
    assert event.usage == Usage(9, 5, 4, 2, cache_write=1)


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"output": [{"type": "function_call", "content": None}]}, "tool_calls"),
        ({"output": [{"type": "web_search_call"}, {"type": "reasoning", "content": "odd"}]}, "stop"),
    ],
)
def test_how_it_finished(fields: dict[str, Any], finish: str) -> None:
    assert NATIVE.answer(msgspec.json.encode(response() | fields), "responses").finish == finish


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"choices":[]}', UPSTREAM_INVALID),
        (b"oops", UPSTREAM_INVALID),
        (msgspec.json.encode(response("queued")), UPSTREAM_INVALID),
        (msgspec.json.encode(response("failed", error={"code": "server_error", "message": "sorry"})), UPSTREAM_ERROR),
        (msgspec.json.encode(response("failed", error=None)), UPSTREAM_ERROR),
    ],
)
def test_no_answer(body: bytes, kind: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        NATIVE.answer(body, "responses")
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "usage",
    [None, {"input_tokens": -1}, {"input_tokens": "x"}, {"input_tokens": 1, "input_tokens_details": {"cached_tokens": 2}}],
)
def test_usage_that_is_nonsense_is_none(usage: object) -> None:
    assert NATIVE.answer(msgspec.json.encode(response(usage=usage)), "responses").usage is None


def test_a_stream() -> None:
    events, decoder = read(
        frame("response.created", response=response("in_progress", "")),
        delta("Hi"),
        frame("response.output_text.done", text="Hi"),
        frame("response.brand_new", anything=1),
        frame("response.completed", response=response()),
        b"data: [DONE]\n\n",
    )
    assert [event.texts for event in events] == [(), ((0, "Hi"),), (), (), ()]
    assert (events[-1].finish, events[-1].usage) == ("stop", Usage(9, 5, 4, 2, cache_write=1))
    assert decoder.done
    decoder.end()
    assert decoder.feed(delta("more")) == []


def test_text_that_never_came_as_a_delta_is_still_read() -> None:
    """A guard must see everything that a caller sees."""
    events, _ = read(
        delta("He"),
        frame("response.output_text.done", text="Hello"),
        frame("response.refusal.delta", delta="N", output_index=1),
        frame("response.refusal.done", refusal="No", output_index=1),
        frame("response.completed", response=response(text="HelloNo and more")),
    )
    assert "".join(text for event in events for _, text in event.texts) == "HelloNo and more"


def test_text_that_comes_again_is_read_once_and_other_text_in_its_place_is_read_too() -> None:
    part = {"type": "output_text", "text": "Hello"}
    events, _ = read(
        frame("response.content_part.added", part={"type": "output_text", "text": ""}),
        delta("Hel"),
        delta("lo"),
        frame("response.output_text.done", text="Hello"),
        frame("response.content_part.done", part=part),
        frame("response.content_part.done", part={"type": "reasoning_text", "text": "hm"}, content_index=1),
        frame("response.output_item.done", item={"type": "message", "content": [part]}),
        frame("response.output_item.done", item={"type": "function_call", "arguments": "{}"}, output_index=1),
        frame("response.output_item.done"),
        frame("response.completed", response=response(text="Hello")),
    )
    assert [text for event in events for _, text in event.texts] == ["Hel", "lo"]
    events, _ = read(
        delta("Hello"), frame("response.output_text.done", text="Adieu"), frame("response.output_text.done", text="Adieu!")
    )
    assert [text for event in events for _, text in event.texts] == ["Hello", "Adieu", "!"]


def test_done_before_the_true_end_is_no_end() -> None:
    events, decoder = read(delta("Hi"), b"data: [DONE]\n\n")
    assert len(events) == 1
    with pytest.raises(GatewayError) as caught:
        decoder.end()
    assert caught.value.kind is UPSTREAM_INCOMPLETE


@pytest.mark.parametrize(
    ("last", "kind", "detail"),
    [
        (
            frame("response.failed", response=response("failed", error={"code": "c", "message": "sorry"})),
            UPSTREAM_ERROR,
            "sorry",
        ),
        (frame("error", message="sorry", code="c"), UPSTREAM_ERROR, "sorry"),
        (frame("error", error={"message": "sorry"}), UPSTREAM_ERROR, "sorry"),
        (frame("response.failed"), UPSTREAM_INVALID, "the provider sent a broken stream event"),
        (frame("response.completed"), UPSTREAM_INVALID, "the provider sent a broken stream event"),
        (frame("response.output_text.delta", delta=7), UPSTREAM_INVALID, "the provider sent a broken stream event"),
        (b"data: oops\n\n", UPSTREAM_INVALID, "the provider sent a broken stream event"),
    ],
)
def test_failures_come_after_the_events_before_them(last: bytes, kind: Any, detail: str) -> None:
    events, decoder = read(delta("Hi"), last)
    assert [event.texts for event in events] == [((0, "Hi"),)]
    assert decoder.failure is not None
    assert (decoder.failure.kind, decoder.failure.detail) == (kind, detail)
    assert decoder.feed(delta("more")) == []


def test_an_endless_number_of_parts_is_refused() -> None:
    _, decoder = read(*[delta("x", output=number) for number in range(5000)])
    assert decoder.failure is not None
    assert decoder.failure.kind is UPSTREAM_INVALID


def test_an_event_above_the_cap_is_refused() -> None:
    decoder = OpenAITranslator(100, has_responses=True).decoder("responses")
    decoder.feed(delta("x" * 200))
    assert decoder.failure is not None
    assert decoder.failure.kind is UPSTREAM_INVALID
