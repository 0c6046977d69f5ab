"""Tool calls: what is judged of them, and what may be written into them."""

from typing import Any

import msgspec
import pytest

from gateway.core.verdicts import ALLOW, Block, Note
from gateway.guards.edits import Edit, edits_of, rewritten
from gateway.guards.outgoing import Outgoing
from gateway.guards.patterns import Pattern, RegexDetector
from gateway.guards.rules import Rule, Tally
from gateway.guards.stream import Rules
from gateway.guards.tools import ToolCall, complete_call, judge_call
from gateway.wire.chat_texts import Call, Custom, Function


def rule(pattern: str, action: Any = "redact", **fields: Any) -> Rule:
    return Rule("guard", RegexDetector([Pattern("kind", pattern)], lambda i: "p"), action, **fields)


def judge(arguments: str, *rules: Rule, name: str = "tool", plain: bool = False, write: Any = Rule.written) -> Block | str:
    return judge_call(ToolCall(name, arguments, plain), rules, Tally("tools", []), write, 0)


def test_a_name_that_would_be_rewritten_blocks() -> None:
    assert judge("{}", rule("rm"), name="rm_all") == Block("guard", "found kind", 0, "redact")
    assert judge("{}", rule("rm", "annotate"), name="rm_all") == "{}"
    assert judge("{}", rule("rm", mode="observe"), name="rm_all") == "{}"


def test_nothing_found_keeps_every_byte() -> None:
    arguments = '{ "a" : 1.50, "b": "\\u0061" }'
    assert judge(arguments, rule("z"), rule("b", "annotate")) == arguments
    assert judge("not json", rule("z")) == "not json"


def test_what_is_written_is_escaped_for_its_place() -> None:
    made = judge('{"a":"x secret y"}', rule("secret", "replace", replacement='"}\n'))
    assert isinstance(made, str)
    assert msgspec.json.decode(made) == {"a": 'x "}\n y'}
    assert judge("say secret", rule("secret", "replace", replacement='"'), plain=True) == 'say "'
    assert judge("say secret", rule("secret", "replace", replacement='"')) == 'say "'


def test_what_would_be_no_json_any_more_is_blocked() -> None:
    blocked = judge('{"a":"b"}', rule('":"', message="Sorry."))
    assert blocked == Block("guard", "the arguments of a tool call cannot be rewritten", 0, "block", "Sorry.")


def test_a_mask_holds_what_was_meant_not_how_it_was_escaped() -> None:
    seen: list[str] = []

    def write(_: Rule, text: str, __: str) -> str:
        seen.append(text)
        return "<K_1>"

    assert judge('{"a":"O\\"B"}', rule(r'O\\"B', "mask"), write=write) == '{"a":"<K_1>"}'
    assert judge('{"a":"b"}', rule('"b"', "mask"), write=write) == Block(
        "guard", "the arguments of a tool call cannot be rewritten", 0
    )
    assert seen == ['O"B', '"b"']


def test_calls_in_all_their_forms() -> None:
    assert complete_call(Call(function=Function("f", "{}"))) == ToolCall("f", "{}")
    assert complete_call(Call(custom=Custom("c", "text"))) == ToolCall("c", "text", plain=True)
    assert complete_call(Call()) == ToolCall("", "")


def outgoing(*tools: Rule) -> tuple[Outgoing, list[Note]]:
    notes: list[Note] = []
    return Outgoing(Rules(), tools, {}, notes), notes


def test_a_call_is_complete_when_the_next_begins_and_may_not_go_on() -> None:
    answer, notes = outgoing(rule("bad", "block"))
    assert answer.call(0, 0, Call(function=Function("a", "b"))) is ALLOW
    assert not answer.track(0, 0).complete
    assert answer.call(0, 1, Call(custom=Custom("c", "x"))) is ALLOW
    assert answer.track(0, 0).complete
    assert answer.call(0, 0, Call(function=Function(None, "ad"))) == Block("tools", "a tool call went on after its end", 0)
    assert notes == []


def test_the_end_judges_what_is_left_in_order_of_choices() -> None:
    answer, notes = outgoing(rule("bad", "block"))
    answer.call(1, 0, Call(function=Function("a", "bad")))
    answer.call(0, 0, Call(function=Function("a", "fine")))
    answer.call(0, 0, Call())
    assert answer.end() == Block("guard", "found kind", 1)
    assert notes == [Note("tools", "guard", "block", "enforce", {"kind": 1})]
    first, _ = outgoing(rule("bad", "block"))
    first.call(0, 0, Call(function=Function("a", "bad")))
    assert first.call(0, 1, Call(function=Function("b", ""))) == Block("guard", "found kind", 0)


@pytest.mark.parametrize(("cut", "parts"), [(3, ["ab#", "ef"]), (2, ["ab", "#ef"]), (4, ["ab#", "ef"]), (0, ["", "ab#ef"])])
def test_an_edit_is_written_where_it_begins(cut: int, parts: list[str]) -> None:
    text, edits = "abcdef", [Edit(2, 4, "#")]
    assert [rewritten(text[:cut], edits), rewritten(text[cut:], edits, cut)] == parts


def test_edits_that_overlap_cover_everything_once() -> None:
    said: list[str] = []

    def write(_: Rule, text: str, what: str) -> str:
        said.append(text)
        return what

    one = rule("x")
    wanted = [(1, 1, 5, one, "B"), (0, 0, 3, one, "A"), (1, 0, 2, one, "C")]
    assert edits_of("abcdefg", wanted, write) == [Edit(0, 3, "A"), Edit(3, 5, "B")]
    assert said == ["abc", "de"]
