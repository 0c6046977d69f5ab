"""Notes of guards as text: one grammar, bounded, and nothing in it that could break a header."""

from gateway.core.notes import MAX_SHOWN, header, rows, written
from gateway.core.verdicts import Note


def test_a_note_says_where_what_and_how_often():
    note = Note("pre", "pii", "mask", "enforce", {"email": 2, "phone": 1})
    assert written(note) == 'pre:pii;action=mask;found="email*2 phone"'
    assert written(Note("post", "judge", "block", "observe", {})) == "post:judge;action=block;observe"
    assert rows([note, note]) == [written(note)] * 2
    assert header([]) == ""
    assert header([note]) == 'x-guardrails: pre:pii;action=mask;found="email*2 phone"\r\n'


def test_names_cannot_break_a_header():
    text = written(Note("pre", 'a"b\r\nset-cookie: x;é', "block", "enforce", {'k"\r\n;': 1}))
    assert text == 'pre:a_b__set-cookie__x__;action=block;found="k____"'


def test_a_header_is_bounded():
    many = [Note("pre", "g" * 500, "block", "enforce", {f"{i}{'k' * 500}": 1 for i in range(99)}) for _ in range(99)]
    line = header(many)
    assert line.endswith(", more\r\n")
    assert line.count("action=") == MAX_SHOWN
    assert len(rows(many)) == 99
