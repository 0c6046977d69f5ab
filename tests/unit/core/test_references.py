import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.references import Reference, is_alias, narrow, parse_reference, parse_version

ALL_FORMS = [
    ("faq-bot", Reference("faq-bot"), "@production"),
    ("faq-bot@staging", Reference("faq-bot", alias="staging"), "@staging"),
    ("faq-bot:7", Reference("faq-bot", version=7), ":7"),
    ("faq-bot:1.2.0", Reference("faq-bot", semver="1.2.0"), ":1.2.0"),
    ("faq-bot:1.2.0-rc.1+b7", Reference("faq-bot", semver="1.2.0-rc.1+b7"), ":1.2.0-rc.1+b7"),
    ("faq-bot#3fa9c1", Reference("faq-bot", digest="3fa9c1"), "#3fa9c1"),
    ("billing/refund@latest", Reference("billing/refund", alias="latest"), "@latest"),
    ("pmpt_abc123", Reference("pmpt_abc123"), "@production"),
]


@pytest.mark.parametrize(("text", "reference", "selector"), ALL_FORMS)
def test_every_form_parses_and_prints_itself(text: str, reference: Reference, selector: str) -> None:
    parsed = parse_reference(text, "model")
    assert parsed == reference
    assert parsed.selector == selector
    assert parse_reference(str(parsed), "model").selector == selector


@pytest.mark.parametrize(
    "text",
    [
        "",
        " faq",
        "faq bot",
        "/faq",
        "faq/",
        "a//b",
        "-faq",
        "faq@",
        "faq@Staging",
        "faq@12",
        "faq:",
        "faq:0",
        "faq:-1",
        "faq:07",
        "faq:99999999999",
        "faq:1.2",
        "faq:١٢",
        "faq#",
        "faq#xyz",
        "faq#12345",
        "faq@a@b",
        "faq:7@b",
        "../etc/passwd",
        "a\r\nb",
        "x" * 256,
    ],
)
def test_bad_references_name_the_field(text: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_reference(text, "x-prompt")
    assert caught.value.kind.name == "malformed"
    assert caught.value.param == "x-prompt"
    assert "x-prompt" in caught.value.detail


def test_an_alias_may_not_look_like_a_version() -> None:
    assert not is_alias("7")
    assert is_alias("v7")
    assert is_alias("7a")


def test_narrowing_lets_a_selector_refine_a_bare_name() -> None:
    bare, pinned = Reference("faq"), Reference("faq", version=3)
    assert narrow(bare, pinned, "model", "prompt") == pinned
    assert narrow(pinned, bare, "model", "prompt") == pinned
    assert narrow(pinned, pinned, "model", "prompt") == pinned


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Reference("faq"), Reference("bot")),
        (Reference("faq", version=3), Reference("faq", version=4)),
        (Reference("faq", alias="x"), Reference("faq", version=4)),
    ],
)
def test_a_contradiction_names_both_fields(a: Reference, b: Reference) -> None:
    with pytest.raises(GatewayError) as caught:
        narrow(a, b, "model", "prompt.id")
    assert caught.value.kind.name == "contradiction"
    assert "model names" in caught.value.detail
    assert "prompt.id names" in caught.value.detail


@given(st.text(max_size=40))
def test_parsing_never_raises_anything_else(text: str) -> None:
    try:
        reference = parse_reference(text, "model")
    except GatewayError:
        return
    assert parse_reference(str(reference), "model").selector == reference.selector


def test_a_version_may_be_a_number_or_a_semver() -> None:
    assert parse_version("faq", "12", "prompt.version").version == 12
    assert parse_version("faq", "1.0.0", "prompt.version").semver == "1.0.0"
