"""A plan in words: every guard in the order of asking, and how much of a stream it holds back."""

from typing import Any

import msgspec
import pytest

from gateway.core.documents import Guardrails
from gateway.guards.plan import NO_GUARDS, combined
from gateway.guards.telling import held_back, told

REGEX = {"type": "regex", "options": {"pattern": "x[0-9]{3}"}}
HTTP = {"type": "http", "options": {"endpoint": "rules"}}


def rails(**sections: Any) -> Guardrails:
    return msgspec.convert(sections, Guardrails)


def test_every_guard_is_told_in_order():
    plan = combined(
        rails(pre_validation={"prohibited_terms": ["a"], "validators": [HTTP, {**REGEX, "name": "own", "mode": "observe"}]}),
        rails(post_validation={"required_elements": ["."], "validators": [REGEX, HTTP]}),
    )
    assert [(t.step, t.guard, t.type, t.mode) for t in told(plan)] == [
        ("in", "prohibited_terms", "prohibited_terms", "enforce"),
        ("in", "own", "regex", "observe"),
        ("in_others", "http", "http", "enforce"),
        ("stream", "regex", "regex", "enforce"),
        ("whole", "required_elements", "required_elements", "enforce"),
        ("others", "http", "http", "enforce"),
    ]
    assert told(NO_GUARDS) == ()


def test_what_judges_tools_and_what_cannot_be_read_is_told():
    plan = combined(
        rails(pre_validation={"validators": [{**HTTP, "stage": "tools"}], "on_media": "closed"}),
        rails(post_validation={"validators": [HTTP], "on_media": "closed"}),
    )
    assert [(t.step, t.guard, t.action, t.tools) for t in told(plan)] == [
        ("in", "media", "block", False),
        ("in_others", "http", "block", True),
        ("stream", "media", "block", False),
        ("others", "http", "block", False),
    ]


@pytest.mark.parametrize(
    ("post", "held"),
    [
        ({}, 0),
        ({"prohibited_terms": ["acme", "initech"]}, 7),
        ({"validators": [REGEX]}, 4),
        ({"validators": [{**REGEX, "on_fail": "reask"}]}, "end"),
        ({"validators": [HTTP]}, "end"),
        ({"validators": [{**REGEX, "stage": "tools"}]}, "end"),
    ],
)
def test_what_a_stream_holds_back_is_told(post: Any, held: Any):
    assert held_back(combined(None, rails(post_validation=post))) == held
