"""Every fuzz target over its seeds, and over what Hypothesis makes of them. The long runs are ``make fuzz``."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds

JUNK = [b"\0", b"\xff", b"\xff\xff", b"{{", b'"', b"\\u0000", b"\\ud800", b"\r\n", b"\n\n", b"data: ", b"null", b"-1", b"1e999", b"[" * 300, "\u202e".encode()]  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_passes(name: str) -> None:
    found = seeds(name)
    assert found
    for seed in found:
        TARGETS[name](seed)


FOUND = {
    "a name in a response object that is no text": (
        "stream-openai-responses",
        b'data: {"type":"response.created","response":{"\x80id":"r"}}\n\n',
    ),
    "a stream of Anthropic's that does not begin": (
        "stream-anthropic",
        (
            b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":1,"output_tokens":1}}\n\n'
            b'data: {"type":"message_stop"}\n\n'
        ),
    ),
    "a name in a last chunk that is no text": (
        "stream-openai",
        (
            b'data: {"\x80":1,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
            b"data: [DONE]\n\n"
        ),
    ),
    "a tool chosen by name where there are none": (
        "receive-chat",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"function","function":{"name":"f"}}}',
    ),
    "a field for another provider that is no text": (
        "receive-chat",
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"user":null,"logprobs":"\xf7"}',
    ),
    "arguments of a tool used before that are no text": (
        "receive-messages",
        b'{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"\xcfa":1}}]}]}',
    ),
    "arguments of a tool in a whole answer that are no text": (
        "stream-anthropic",
        b'{"type":"message","content":[{"type":"tool_use","id":"t","name":"f","input":{"\xcfa":1}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}',
    ),
    "a name in an event whose type is not told as the vendor does": (
        "stream-anthropic-native",
        (
            b'event: message_start\ndata: {"type": "messa,e_start", "\xc0message": {"id": "m", "content": []}}\n\n'
            b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
        ),
    ),
}
"""What the fuzzers found, by what it was."""


@pytest.mark.parametrize(("name", "data"), FOUND.values(), ids=list(FOUND))
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    TARGETS[name](data)


@st.composite
def spoiled(draw: st.DrawFn, name: str) -> bytes:
    """A seed with parts cut out, doubled, exchanged with another seed's or replaced by junk; or any bytes at all."""
    found = seeds(name)
    data = draw(st.sampled_from(found))
    for _ in range(draw(st.integers(1, 3))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 40))
        new = draw(st.sampled_from(JUNK) | st.binary(max_size=6) | st.just(b"") | st.just(data[at : at + size] * 2))
        data = data[:at] + new + data[at + size :]
    return data


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=25)
@given(data=st.data())
def test_nothing_but_our_errors_comes_out(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(spoiled(name) | st.binary(max_size=80)))
