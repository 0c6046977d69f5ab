r"""Tool calls: a name, and arguments that can only be judged when they are complete.

Arguments are judged as the JSON text that says the same without needless escapes, so that ``\u0061`` hides nothing. What is written
into them is escaped for where it stands; where the outcome would be no JSON any more, the call is blocked.
"""

import re
from collections.abc import Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from gateway.core.verdicts import Block
from gateway.guards.edits import Wanted, Write, edits_of, rewritten
from gateway.guards.rules import Rule, Tally
from gateway.wire.chat_texts import Call, Function

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
R = TypeVar("R")


class ToolCall(Struct, frozen=True, gc=False):
    """One complete call."""

    name: str
    arguments: str
    plain: bool = False
    """Whether the arguments are plain text (a custom tool's input), not JSON."""


def complete_call(call: Call) -> ToolCall:
    """A call as it stands in a message or a whole answer."""
    if call.custom is not None:
        return ToolCall(call.custom.name or "", call.custom.input or "", plain=True)
    function = call.function or Function()
    return ToolCall(function.name or "", function.arguments or "")


def judge_call(
    call: ToolCall, rules: Sequence[Rule], tally: Tally, write: Write[Rule], choice: int | None = None
) -> Block | str:
    """The call's arguments as they may pass on, or what ends the answer. Rules come in the order in which they are asked."""
    text, escaped = (call.arguments, False) if call.plain else said_simply(call.arguments)
    wanted: list[Wanted[Rule]] = []
    for order, rule in enumerate(rules):
        for finding in rule.detector.find(call.name) if rule.restores is None else ():
            tally.add(rule, finding.what)
            if rule.blocks or rule.rewrites:
                # Another name would be another tool.
                return rule.block(call.name[finding.start : finding.end], finding.what, choice)
        for finding in rule.detector.find(text):
            found = text[finding.start : finding.end]
            tally.add(rule, finding.what)
            if rule.blocks:
                return rule.block(found, finding.what, choice)
            if rule.rewrites or rule.restores is not None:
                wanted.append((finding.start, order, finding.end, rule, finding.what))
    if not wanted:
        return _as_it_came(call.arguments, text, rules, tally, choice) if text != call.arguments else text

    made = written_over(text, wanted, write, escaped=escaped)
    if made is None:
        rule = wanted[0][3]
        return Block(rule.guard, "the arguments of a tool call cannot be rewritten", choice, "block", rule.message)
    return made


def _as_it_came(arguments: str, simply: str, rules: Sequence[Rule], tally: Tally, choice: int | None) -> Block | str:
    """Arguments whose meaning is harmless. What only their letters say (a key that comes twice) is not shown either."""
    for rule in rules:
        for finding in rule.detector.find(arguments) if rule.restores is None else ():
            tally.add(rule, finding.what)
            if rule.blocks:
                return rule.block(arguments[finding.start : finding.end], finding.what, choice)
            if rule.rewrites:
                return simply
    return arguments


def written_over(text: str, wanted: Sequence[Wanted[R]], write: Write[R], *, escaped: bool) -> str | None:
    """Arguments with something else in some places. ``escaped``: they are JSON; None where the outcome would be none any more."""

    def put(rule: R, found: str, what: str) -> str:
        return _inside(write(rule, _outside(found), what)) if escaped else write(rule, found, what)

    made = rewritten(text, edits_of(text, wanted, put))
    return None if escaped and not is_json(made) else made


def repeats(arguments: str, simply: str) -> bool:
    """Whether JSON arguments say more than what they mean: a key that comes twice means its last value, and hides the others."""
    return _STRING.sub("", arguments).count(":") > _STRING.sub("", simply).count(":")


def said_simply(arguments: str) -> tuple[str, bool]:
    """The text to judge, and whether it is JSON."""
    try:
        return _encode(_decode(arguments)).decode(), True
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return arguments, False


def is_json(text: str) -> bool:
    """Whether a text is one JSON value."""
    try:
        _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _inside(text: str) -> str:
    """A text as it stands inside of a JSON string."""
    return _encode(text)[1:-1].decode()


def _outside(text: str) -> str:
    """What a piece of a JSON string says; the piece itself where it is no such thing."""
    try:
        said = _decode(f'"{text}"')
    except (msgspec.DecodeError, UnicodeError):
        return text
    assert isinstance(said, str)
    return said
