"""Messages of a prompt and what of them is still to be searched in a call."""

from typing import Any

import msgspec
import pytest

from gateway.core.conversation import NEAR
from gateway.core.errors import MISSING_VARIABLE, TEMPLATE_FAILED, GatewayError
from gateway.prompts.simple import SimpleText
from gateway.prompts.stored import StoredText, fixed_message
from gateway.prompts.values import MAX_OUTPUT


def stored(source: str) -> StoredText:
    return StoredText("system", SimpleText(source, 1, "strict"))


def test_nothing_of_a_fixed_message_is_left_to_be_searched():
    message = fixed_message("user", "Hi")
    assert (message.role, message.text, message.near, message.ours) == ("user", "Hi", "", True)
    assert message.raw == b'{"role":"user","content":"Hi"}'


def test_near_a_value_is_what_stands_on_either_side_of_it():
    numbers = " ".join(map(str, range(NEAR)))
    text = stored(f"{numbers}{{{{ a }}}}{numbers}{{{{ b }}}} and {{{{ a }}}}{numbers}")
    message = text.fill({"a": "A", "b": "B"}, near=True)
    start, end = numbers[:NEAR], numbers[-NEAR:]
    assert message.text == f"{numbers}A{numbers}B and A{numbers}"
    assert message.near == f"{end}A{start}\0{end}B and A{start}"
    assert text.fill({"a": "A", "b": "B"}, near=False).near is None


@pytest.mark.parametrize(("source", "value"), [("a {{ x.y }}", {"y": "z"}), ("a {{ x }}", 7), ("a {{ x }} {{ x }}", ["b"])])
def test_of_a_text_that_is_made_the_long_way_nothing_is_left_out(source: str, value: object):
    message = stored(source).fill({"x": value}, near=True)
    assert message.near is None
    assert msgspec.json.decode(message.raw) == {"role": "system", "content": message.text}
    assert message.text == SimpleText(source, 1, "strict").render({"x": value})


@pytest.mark.parametrize(("values", "kind"), [({}, MISSING_VARIABLE), ({"x": "y" * (MAX_OUTPUT // 2)}, TEMPLATE_FAILED)])
def test_what_cannot_be_rendered(values: dict[str, Any], kind: object):
    with pytest.raises(GatewayError) as failure:
        stored("a {{ x }} {{ x }}").fill(values, near=True)
    assert failure.value.kind is kind
