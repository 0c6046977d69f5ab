"""Each provider's form against golden files made from the vendors' published schemas."""

from typing import Any

import msgspec
import pytest

from gateway.core.errors import GatewayError
from gateway.core.events import Usage
from tests.unit.providers.golden import TRANSLATORS, call, cases, stream_bytes, target


def usage(counts: dict[str, int] | None) -> Usage | None:
    return None if counts is None else Usage(**counts)


def parameters(kind: str) -> Any:
    found = cases(kind)
    assert found, f"no golden files of the kind {kind}"
    return pytest.mark.parametrize(("provider", "case"), [(p, c) for p, _, c in found], ids=[f"{p}-{n}" for p, n, _ in found])


@parameters("request")
def test_a_call_in_the_providers_form(provider: str, case: dict[str, Any]) -> None:
    translator = TRANSLATORS[provider]
    asked = call(case["chat"])
    request = translator.request(target(provider), asked)
    assert request.path == case["path"]
    assert {name.decode(): value.decode() for name, value in request.headers} == case["headers"]
    assert msgspec.json.decode(request.body) == case["body"]
    assert translator.request(target(provider), asked) == request


@parameters("refused")
def test_what_a_provider_has_no_form_for_is_refused_by_name(provider: str, case: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        TRANSLATORS[provider].request(target(provider), call(case["chat"]))
    assert caught.value.kind.name == "malformed"
    assert caught.value.param == case["param"]
    assert case["param"] in caught.value.detail


@parameters("answer")
def test_a_whole_answer_in_the_chat_form(provider: str, case: dict[str, Any]) -> None:
    event = TRANSLATORS[provider].answer(msgspec.json.encode(case["native"]), "chat", "asked-for")
    assert msgspec.json.decode(event.data) == case["chat"]
    assert event.usage == usage(case["usage"])
    choice = case["chat"]["choices"][0]
    assert event.finish == choice["finish_reason"]
    assert event.texts[0] == (0, choice["message"]["content"] or choice["message"].get("refusal") or "")


@parameters("stream")
def test_a_stream_in_the_chat_form(provider: str, case: dict[str, Any]) -> None:
    decoder = TRANSLATORS[provider].decoder("chat", "asked-for")
    events = decoder.feed(stream_bytes(provider, case["native"]))
    assert [msgspec.json.decode(event.data) for event in events] == case["chat"]
    if "failure" in case:
        assert decoder.failure is not None
        assert [decoder.failure.kind.name, decoder.failure.detail] == case["failure"]
        return
    assert decoder.failure is None
    decoder.end()
    assert "".join([text for event in events for _, text in event.texts]) == case["text"]
    assert [event.finish for event in events if event.finish] == case["finish"]
    assert [event.usage for event in events if event.usage] == [usage(case["usage"])]
    assert events[-1].usage_only


@parameters("failure")
def test_a_refusal_of_the_provider(provider: str, case: dict[str, Any]) -> None:
    headers = {name.encode(): value.encode() for name, value in case["headers"].items()}
    body = case["body"].encode() if isinstance(case["body"], str) else msgspec.json.encode(case["body"])
    error = TRANSLATORS[provider].failure(target(provider), case["status"], headers, body)
    said = {"kind": error.kind.name, "status": error.status, "detail": error.detail, "param": error.param}
    assert said | {"retry_after": error.retry_after} == case["error"]
    assert error.target == provider
