"""How a path names a prompt and a version."""

import pytest

from gateway.control.tenancy import prompt_slug, selected
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.references import Reference


def test_a_tilde_is_a_slash():
    assert prompt_slug("billing~refund") == "billing/refund"
    assert prompt_slug("faq-bot") == "faq-bot"


@pytest.mark.parametrize("text", ["", "~", "a~", "a~~b", "a b", "..", "x" * 256])
def test_what_is_no_slug_is_refused(text: str):
    with pytest.raises(GatewayError) as caught:
        prompt_slug(text)
    assert (caught.value.kind, caught.value.param) == (MALFORMED, "slug")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", Reference("a", version=7)),
        (":7", Reference("a", version=7)),
        ("1.2.0", Reference("a", semver="1.2.0")),
        ("staging", Reference("a", alias="staging")),
        ("@staging", Reference("a", alias="staging")),
        ("draft", Reference("a", alias="draft")),
        ("#3fa9c1", Reference("a", digest="3fa9c1")),
    ],
)
def test_every_selector_form(text: str, expected: Reference):
    assert selected("a", text, "version") == expected


@pytest.mark.parametrize("text", ["", "0", "-1", "99999999999", "A", "#xyz", "@", ":", ":x", "@7", "1.2.0.0.!"])
def test_what_is_no_selector_is_refused(text: str):
    with pytest.raises(GatewayError) as caught:
        selected("a", text, "from")
    assert (caught.value.kind, caught.value.param) == (MALFORMED, "from")
