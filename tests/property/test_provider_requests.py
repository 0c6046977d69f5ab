"""Whatever a caller sends, a provider's translator makes JSON of it or names what it cannot say."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gateway.core.conversation import Message
from gateway.core.errors import GatewayError
from gateway.core.upstream import HttpRequest, UpstreamCall
from gateway.providers.quirks import NO_OPS
from tests.unit.providers.golden import TRANSLATORS, target

NAMES = [
    *NO_OPS,
    "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "seed", "stop", "user", "stream_options",
    "reasoning_effort", "safety_settings", "additional_model_request_fields", "anything",
]  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.sampled_from(["auto", "none", "required"])
WORDS = st.sampled_from(
    ["type", "function", "name", "json_schema", "schema", "text", "content", "id", "arguments", "image_url", "url"]
)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(WORDS, v, max_size=3), max_leaves=8)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])},
    optional={"content": VALUES, "tool_calls": VALUES, "tool_call_id": SCALARS, "name": SCALARS, "refusal": SCALARS},
)


def asked(provider: str, call: UpstreamCall) -> HttpRequest | GatewayError:
    try:
        return TRANSLATORS[provider].request(target(provider), call)
    except GatewayError as error:
        return error


@pytest.mark.parametrize("provider", TRANSLATORS)
@settings(max_examples=30)
@given(
    st.lists(MESSAGES, max_size=3),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4),
    st.booleans(),
    st.text(max_size=8),
)
def test_a_request_or_a_clear_error(
    provider: str, messages: list[dict[str, Any]], fields: dict[str, Any], stream: bool, model: str
) -> None:
    raws = {name: Raw(msgspec.json.encode(value)) for name, value in fields.items()}
    conversation = tuple([Message(m["role"], "", msgspec.json.encode(m)) for m in messages])
    made = asked(provider, UpstreamCall(model, conversation, stream, raws))
    if isinstance(made, GatewayError):
        assert made.kind.name in {"malformed", "unknown_model"}
        assert made.param
        assert made.param in made.detail
        return
    assert isinstance(msgspec.json.decode(made.body), dict)
    assert made.path.isascii()
    assert "/../" not in made.path


@pytest.mark.parametrize("provider", TRANSLATORS)
@pytest.mark.parametrize("name", ["anything", "response_format", "metadata", "tools", "tool_choice", "service_tier", "stop"])
def test_a_field_nested_without_end_is_no_bug(provider: str, name: str) -> None:
    hello = Message("user", "hi", b'{"role":"user","content":"hi"}')
    deep = Raw(b"[" * 100_000 + b"]" * 100_000)
    made = asked(provider, UpstreamCall("m", (hello,), False, {name: deep}))
    assert (made.param or "").startswith(name) if isinstance(made, GatewayError) else made.body
