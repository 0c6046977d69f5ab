"""The guard ``competitors``: the spellings it adds, and what it refuses to be told."""

from typing import Any

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import make
from gateway.guards.competitors import spellings
from gateway.guards.shipped import CATALOGUE


def found(text: str, **options: Any) -> list[str]:
    return [text[f.start : f.end] for f in make(CATALOGUE["competitors"], options, "g").find(text)]


def test_spellings():
    assert spellings("Acme") == ["Acme", "Acmes"]
    assert spellings("Globex") == ["Globex", "Globexs"]
    assert spellings("Brothers") == ["Brothers"]
    assert set(spellings("Coca-Loca")) >= {"Coca-Loca", "coca loca".title(), "CocaLoca", "Coca\u2010Loca", "CocaLocas"}


def test_only_names_as_they_are_where_that_is_asked():
    text = "Coca-Loca, Coca Loca, two Coca-Locas"
    assert found(text, competitors=["Coca-Loca"], inflections=False) == ["Coca-Loca"]
    assert found(text, competitors=["Coca-Loca"]) == ["Coca-Loca", "Coca Loca", "Coca-Locas"]


def test_two_of_one_name_are_found_once():
    assert found("An Acme.", competitors=["Acme", {"name": "ACME", "aliases": ["acme"]}]) == ["Acme"]


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, "g.options"),
        ({"competitors": []}, "g.options.competitors"),
        ({"competitors": ["a", " "]}, "g.options.competitors[1]"),
        ({"competitors": ["x" * 300]}, "g.options.competitors[0]"),
        ({"competitors": [{"aliases": []}]}, "g.options.competitors[0]"),
    ],
)
def test_errors_name_the_option(options: dict[str, Any], place: str):
    with pytest.raises(GatewayError) as caught:
        make(CATALOGUE["competitors"], options, "g")
    assert (caught.value.kind, caught.value.param) == (MALFORMED, place)
