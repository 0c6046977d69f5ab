"""The table of what models can do."""

from pathlib import Path

import pytest

from gateway.routing.models import Model, ModelTable, load_models

SHIPPED = Path(__file__).parents[3] / "config" / "models.toml"
ONE = b"""
[[model]]
models = ["m-1", "m-*"]
context = 1000
tools = true
source = "here"
date = "2026-11"

[[model]]
models = ["m-2*"]
max_output = 5
reasoning = false
source = "there"
date = "2026-11-21"
"""


def test_a_full_name_goes_before_a_pattern_and_a_longer_pattern_before_a_shorter() -> None:
    table = load_models(ONE + b'[[model]]\nmodels = ["m-22"]\nsource = "x"\ndate = "2026-01"')
    assert table.find("m-1") == table.find("m-9") == Model(context=1000, tools=True)
    assert table.find("m-2-snapshot") == Model(max_output=5, reasoning=False)
    assert table.find("m-22") == Model()
    assert table.find("other") is None
    assert load_models(b"") == ModelTable()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"context = 1000", b"context = 0"), r"model\[0\] \(m-1, m-\*\): limits are positive"),
        ((b"context = 1000", b"context = 'big'"), "model table: .*context"),
        ((b"context = 1000", b"contxt = 1000"), "model table: .*contxt"),
        ((b'"2026-11-21"', b'"today"'), r"model\[1\] \(m-2\*\): date = 'today' is no month"),
        ((b'source = "here"', b'source = ""'), "give models and a source"),
        ((b'source = "here"\n', b""), "model table: .*source"),
        ((b'["m-2*"]', b"[]"), "give models and a source"),
        ((b'["m-2*"]', b'["*"]'), "is no model name"),
        ((b'["m-2*"]', b'["a*b"]'), "is no model name"),
        ((b'["m-2*"]', b'["m-1"]'), "'m-1' is listed twice"),
    ],
)
def test_a_bad_table_is_an_error_that_names_the_entry(change: tuple[bytes, bytes], message: str) -> None:
    assert change[0] in ONE
    with pytest.raises(ValueError, match=message):
        load_models(ONE.replace(*change))


def test_the_shipped_table_is_sound() -> None:
    table = load_models(SHIPPED.read_bytes())
    known = [*table.exact.values(), *dict(table.prefixes).values()]
    assert len(known) > 40
    for model in known:
        assert model.context is None or model.max_output is None or model.max_output < model.context
    assert table.find("gpt-4o-mini") == Model(128_000, 16_384, tools=True, vision=True, json_schema=True, reasoning=False)
    sonnet = table.find("claude-sonnet-4-5-20250929")
    assert sonnet is not None
    assert (sonnet.context, sonnet.max_output) == (200_000, 64_000)
    assert table.find("claude-sonnet-5-5") != table.find("claude-sonnet-4-5")
