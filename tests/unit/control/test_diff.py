"""What changed between two versions."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.control.versions.diff import ConfigDiff, compare
from gateway.core.documents import Guardrails, MessageTemplate, Placeholder, PreValidation, VersionContent

BASE = VersionContent(
    messages=[MessageTemplate("system", "one\ntwo\nthree"), Placeholder()],
    params={"temperature": 0.2, "stop": ["a"]},
    model="gpt",
)


def test_equal_versions_are_identical():
    found = compare(BASE, BASE, (1, 2))
    assert (found.identical, found.messages, found.config, found.before, found.after) == (True, [], [], 1, 2)


def test_text_changes_are_unified_diffs_per_message():
    after = VersionContent(
        messages=[MessageTemplate("system", "one\n2\nthree"), Placeholder()], params=BASE.params, model="gpt"
    )
    found = compare(BASE, after, (3, 7))
    assert not found.identical
    assert [m.index for m in found.messages] == [0]
    assert found.messages[0].diff.splitlines() == [
        "--- :3 messages[0] system",
        "+++ :7 messages[0] system",
        "@@ -1,3 +1,3 @@",
        " one",
        "-two",
        "+2",
        " three",
    ]


def test_a_role_change_alone_shows_in_the_head():
    after = VersionContent(
        messages=[MessageTemplate("developer", "one\ntwo\nthree"), Placeholder()], params=BASE.params, model="gpt"
    )
    assert compare(BASE, after, (1, 2)).messages[0].diff == "--- :1 messages[0] system\n+++ :2 messages[0] developer"


def test_added_and_removed_messages():
    shorter = VersionContent(messages=BASE.messages[:1], params=BASE.params, model="gpt")
    assert (
        compare(BASE, shorter, (1, 2)).messages[0].diff
        == "--- :1 messages[1] placeholder\n+++ (none)\n@@ -1 +0,0 @@\n-(messages)"
    )
    assert compare(shorter, BASE, (1, 2)).messages[0].diff.startswith("--- (none)\n+++ :2 messages[1] placeholder\n")


def test_settings_are_compared_by_path():
    after = VersionContent(
        messages=BASE.messages,
        params={"temperature": 0.2, "stop": ["b"], "seed": 1},
        guardrails=Guardrails(pre_validation=PreValidation(prohibited_terms=["x"])),
        format="simple",
    )
    assert compare(BASE, after, (1, 2)).config == [
        ConfigDiff("format", None, "simple"),
        ConfigDiff("guardrails", None, {"pre_validation": {"prohibited_terms": ["x"]}}),
        ConfigDiff("model", "gpt", None),
        ConfigDiff("params.seed", None, 1),
        ConfigDiff("params.stop", ["a"], ["b"]),
    ]


def test_true_and_one_differ():
    a = VersionContent(messages=BASE.messages, params={"x": True})
    b = VersionContent(messages=BASE.messages, params={"x": 1})
    assert compare(a, b, (1, 2)).config == [ConfigDiff("params.x", True, 1)]


TEXTS = st.lists(st.text("ab\n", max_size=6), min_size=1, max_size=3)


@given(TEXTS, TEXTS)
def test_identical_exactly_when_equal(a: list[str], b: list[str]):
    left, right = (VersionContent(messages=[MessageTemplate("user", text) for text in texts]) for texts in (a, b))
    assert compare(left, right, (1, 2)).identical == (left == right)
