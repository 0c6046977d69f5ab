"""Every guard with a corpus reaches its floors, and the documentation says what is measured. ``-s`` shows the table."""

from pathlib import Path

import pytest

from gateway.guards.shipped import CATALOGUE
from tests.corpus.measure import measure, names, row

PAGE = Path(__file__).parents[2] / "docs" / "guard-catalogue.md"


@pytest.mark.parametrize("name", names())
def test_precision_and_recall_reach_their_floors(name: str):
    result = measure(name)
    print(row(result))
    head = result.corpus.head
    assert result.score.precision >= head.precision, result.wrong
    assert result.score.recall >= head.recall, result.wrong


@pytest.mark.parametrize("name", names())
def test_the_page_says_what_is_measured(name: str):
    assert row(measure(name)) in PAGE.read_text(encoding="utf-8")


def test_every_guard_that_ships_is_in_the_table():
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in CATALOGUE if f"\n| [`{name}`](" not in page] == []


@pytest.mark.parametrize("name", names())
def test_a_corpus_is_large_enough_and_has_both_sides(name: str):
    result = measure(name)
    negative = len(result.corpus.examples) - result.positive
    assert result.positive >= 15
    assert negative >= 15
    assert len(result.corpus.examples) >= 40
    texts = [example.text for example in result.corpus.examples]
    assert len(set(texts)) == len(texts)
