"""Rows as lines of CSV; that Postgres reads them rightly is for tests/integration/test_copying.py."""

import pytest
from msgspec.structs import replace

from gateway.core.ledger import UNBILLED, Ending, Intent, ServedPrompt, row_of
from gateway.storage.postgres.copying import COLUMNS, csv_of

ENDING = Ending("ok", 200, None, "upstream", 5, None, None, 1, None, None, [], (1, 2, *[0] * 11, None, 0), UNBILLED)


def intent_of(user: str | None = None, tags: tuple[str, ...] = (), prompt: ServedPrompt | None = None) -> Intent:
    return Intent("c", 1, "a", None, "r", "chat", False, None, "p", "m", user, None, tags, prompt, 42, "m", ("one",))


def fields(line: bytes) -> dict[str, bytes]:
    """Of a line without commas in its texts."""
    return dict(zip(COLUMNS, line.split(b","), strict=True))


def test_a_final_row_is_a_line_with_all_columns():
    prompt = ServedPrompt("i", "faq", 3, None, None, "h", 9)
    first, second, rest = csv_of([(intent_of(prompt=prompt), ENDING), (intent_of(), ENDING)]).split(b"\n")
    assert rest == b""
    told = fields(first)
    assert (told["call_id"], told["attempt"], told["stream"], told["key_id"]) == (b'"c"', b"1", b"false", b"null")
    assert (told["prompt"], told["version"], told["alias"], told["generation"]) == (b'"faq"', b"3", b"null", b"9")
    assert (told["state"], told["input_tokens"], told["output_tokens"], told["cost_nano"]) == (b"2", b"1", b"2", b"null")
    assert (told["tags"], told["verdicts"], told["route"]) == (b'"{}"', b'"{}"', b'"m"')
    assert told["shadowed"] == rb'"{\"one\"}"'
    assert {fields(second)[name] for name in ServedPrompt.__struct_fields__} == {b"null"}


def test_a_row_and_what_it_is_made_of_are_one_line():
    final = intent_of("u", ("a", "b")), ENDING
    assert csv_of([final]) == csv_of([row_of(*final)])


def test_counts_of_another_version_fill_the_columns_that_they_have():
    told = fields(csv_of([(intent_of(), replace(ENDING, counts=(1, 2)))])[:-1])
    assert (told["input_tokens"], told["output_tokens"], told["cached_tokens"], told["audio_ms"]) == (
        b"1",
        b"2",
        b"null",
        b"null",
    )
    assert fields(csv_of([(intent_of(), replace(ENDING, counts=(*range(99),)))])[:-1])["output_tokens"] == b"1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", b'""'),
        ("null", b'"null"'),
        ('a"b', rb'"a\"b"'),
        ("a\\b", rb'"a\\b"'),
        ("a\\n", rb'"a\\n"'),
        ("a\tb\x00c\x1f", b'"a\tb\0c\x1f"'),
        ('\\"\b', b'"\\\\\\"\b"'),
        ("é\x7f", b'"\xc3\xa9\x7f"'),
    ],
)
def test_texts_are_quoted_and_control_characters_are_themselves(text: str, told: bytes):
    assert fields(csv_of([(intent_of(text), ENDING)])[:-1])["user"] == told


def test_line_feeds_and_brackets_in_texts_are_no_ends_of_rows():
    assert csv_of([(intent_of("a]\n[b"), ENDING)] * 2).count(b'"a]\n[b"') == 2


def test_lists_are_array_literals():
    told = fields(csv_of([(intent_of(tags=("", 'a"\\')), ENDING)]).replace(b'\\"\\",\\"', b'\\"\\";\\"')[:-1])["tags"]
    assert told == rb'"{\"\";\"a\\\"\\\\\"}"'


@pytest.mark.parametrize(
    "changes", [{"user": "\ud800"}, {"tags": (5,)}, {"user": object()}], ids=["surrogate", "number", "object"]
)
def test_what_no_column_can_hold_is_an_error(changes):
    with pytest.raises((ValueError, TypeError)):
        csv_of([(intent_of(**changes), ENDING)])
