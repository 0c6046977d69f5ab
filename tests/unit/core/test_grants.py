"""What a restricted key may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.documents import KeyDocument
from gateway.core.errors import GatewayError
from gateway.core.grants import MAX_PATTERNS, SCOPES, Allowed, Grant, grant_of, models_fault, prompts_fault, scopes_fault

NAME = st.text("ab/-._", min_size=0, max_size=8)


def test_a_key_without_restrictions_has_no_grant():
    assert grant_of(KeyDocument("k", "a", "app", "pub")) is None


def test_a_scope_opens_its_doors_and_no_others():
    grant = Grant("pub", scopes=["chat", "responses:read"])
    for door, scope in SCOPES.items():
        if scope in {"chat", "responses:read"}:
            grant.enter(door)
        else:
            with pytest.raises(GatewayError, match=f"pub lacks the scope '{scope}'") as refused:
                grant.enter(door)
            assert (refused.value.kind.name, refused.value.status) == ("forbidden", 403)
    with pytest.raises(GatewayError, match="lacks the scope '\\*'"):
        grant.enter("a door that nobody has given a scope")


def test_a_star_is_everything_in_every_list():
    grant = Grant("pub", scopes=["chat", "*"], prompts=["*"], models=["x", "*"])
    grant.enter("a door that nobody has given a scope")
    assert not grant.lists_models
    assert grant.may_model("")
    assert grant.may_prompt("a/b", "#abcdef")


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("faq", ["faq@production", "faq:7", "faq:1.2.0", "faq#abcdef"], ["faq-2@production", "a/faq@production"]),
        ("billing/*", ["billing/a@production", "billing/a/b:1"], ["billing@production", "xbilling/a@production"]),
        ("faq@staging", ["faq@staging"], ["faq@production", "faq:7", "faq@staging-2"]),
        ("*@production", ["faq@production", "a/b@production"], ["faq@staging", "faq:1"]),
        ("faq:*", ["faq:7", "faq:1.2.0"], ["faq@production", "faq#abcdef"]),
        ("f.q", ["f.q@production"], ["faq@production"]),
        ("fa*n", ["fan@staging", "fa/n:1"], ["faq@production"]),
        ("*@*", ["faq@production", "a/b@x"], ["faq:1", "faq#abcdef"]),
    ],
)
def test_patterns_of_prompts(pattern: str, fits: list[str], others: list[str]):
    grant = Grant("pub", prompts=[pattern])
    for name, fitting in [*((name, True) for name in fits), *((name, False) for name in others)]:
        at = next(i for i, sign in enumerate(name) if sign in "@:#")
        assert grant.may_prompt(name[:at], name[at:]) is fitting, name
        assert grant.may_prompt(name[:at], name[at:]) is fitting, f"{name}, remembered"
    with pytest.raises(GatewayError, match="pub may not use the prompt other:9") as refused:
        grant.check_prompt("other", ":9")
    assert refused.value.param == "prompt"


def test_an_empty_list_is_nothing():
    grant = Grant("pub", prompts=[], models=[])
    assert not grant.may_prompt("faq", "@production")
    assert grant.lists_models
    with pytest.raises(GatewayError, match="may not use the model 'gpt-4o'"):
        grant.check_model("gpt-4o")
    with pytest.raises(GatewayError, match="a model that is not named"):
        grant.check_model("")


@given(st.lists(st.one_of(NAME, st.just("*")), max_size=4).map("".join), NAME)
def test_a_star_stands_for_any_text(pattern: str, name: str):
    """Against the plain definition: the pieces between the stars occur in this order, the outer ones at the ends."""
    first, *rest = pattern.split("*")
    if not rest:
        fits = name == pattern
    else:
        *middle, last = rest
        fits = name.startswith(first)
        at = len(first)
        for piece in middle:
            found = name.find(piece, at)
            fits, at = fits and found >= 0, found + len(piece)
        fits = fits and len(name) - len(last) >= at and name.endswith(last)
    assert (name in Allowed([pattern])) is fits


def test_a_pattern_of_many_stars_is_matched_at_once():
    assert ("a" * 256) not in Allowed(["*a" * 127 + "b"])


def test_the_memory_of_names_is_bounded():
    allowed = Allowed(["a*"])
    for number in range(3000):
        assert f"a{number}" in allowed
        assert f"b{number}" not in allowed
    assert len(allowed._known) <= 1024


@pytest.mark.parametrize("scopes", [[], ["chats"], ["chat", ""], ["Chat"], ["responses"]])
def test_scopes_that_are_none(scopes: list[str]):
    assert scopes_fault(scopes)
    assert scopes_fault(["*"]) is scopes_fault(["chat", "responses:read"]) is None


@pytest.mark.parametrize("prompt", ["", "@staging", "a b", "faq@", "faq@x@y", "faq?", "[a]", "a" * 257, "faq\n", "ß"])
def test_prompts_that_are_none(prompt: str):
    assert prompts_fault(["faq", prompt])
    assert prompts_fault(["faq", "billing/*", "*@production", "faq:7", "faq#3fa9c1", "pmpt_x", "*"]) is None
    assert prompts_fault([]) is None
    assert prompts_fault(["faq"] * (MAX_PATTERNS + 1)) == "at most 100"


@pytest.mark.parametrize("model", ["", "gpt 4", "gpt?", "[gpt]", "a" * 257, "gpt\x00", "ß"])
def test_models_that_are_none(model: str):
    assert models_fault([model])
    assert models_fault(["gpt-4o*", "@cf/meta/llama", "ft:gpt-4o:org::id", "anthropic.claude-3:0", "o1"]) is None
