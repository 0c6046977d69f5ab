"""Fuzzing what authors write: templates with any values, guardrails with any text."""

from typing import Any

import msgspec

from gateway.core.conversation import Message
from gateway.core.documents import Guardrails, MessageTemplate, VersionContent
from gateway.core.errors import GatewayError
from gateway.guards.plan import compile_guards
from gateway.prompts.compiler import compile_prompt
from tests.fuzz.streams import pieces

FORMATS: tuple[tuple[Any, Any], ...] = (
    ("jinja", "strict"), ("jinja", "empty"), ("jinja", "keep"), ("simple", "strict"), ("simple", "empty"), ("simple", "keep"),
)  # fmt: skip
LAW = frozenset({"malformed", "missing_variable", "invalid_variable", "template_failed"})


def halves(data: bytes) -> tuple[Any, str]:
    """A line of JSON and the text below it; ``{}`` where the line is none."""
    head, _, rest = data.partition(b"\n")
    try:
        decoded = msgspec.json.decode(head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = {}
    return decoded, rest.decode(errors="replace")


def templates(data: bytes) -> None:
    """Any source is refused, or renders any values to one message of its role, or fails with one of four kinds."""
    values, source = halves(data)
    variables: dict[str, Any] = values if isinstance(values, dict) else {"x": values}
    before = msgspec.json.encode(variables)
    for form, undefined in FORMATS:
        try:
            content = VersionContent([MessageTemplate("system", source)], format=form, undefined=undefined)
            (message,) = compile_prompt(content).render(variables, ())
        except GatewayError as error:
            assert error.kind.name in LAW, (error.kind.name, error.detail)
            continue
        assert msgspec.json.decode(message.raw) == {"role": "system", "content": message.text}
    assert msgspec.json.encode(variables) == before, "the caller's variables are not changed"


def guards(data: bytes) -> None:
    """A guardrail configuration is refused by name or judges any text; any chunking of the text gives the verdict of the whole."""
    config, text = halves(data)
    try:
        guardrails = msgspec.convert(config, Guardrails)
        plan = compile_guards(guardrails)
    except msgspec.ValidationError:
        return
    except GatewayError as error:
        assert error.kind.name == "malformed", error.detail
        assert error.param
        return
    if plan.pre is not None:
        plan.pre.check((Message("user", text, msgspec.json.encode({"role": "user", "content": text})),))
    if plan.post is None:
        return
    whole = plan.post.check([(0, text)])
    for parts in pieces(text.encode(errors="replace")):
        scan, left = plan.post.scan(), b""
        for part in parts:
            left += part
            try:
                piece = left.decode()
            except UnicodeDecodeError:
                continue
            left = b""
            scan.feed(0, piece)
            assert scan.released(0) <= len(text)
        assert scan.finish(0) == whole


def template_seeds() -> list[bytes]:
    """Every construct of the language once."""
    values = b'{"a": "x", "b": [1, 2, {"c": null}], "d": {"e": 1.5}, "n": 3}\n'
    sources = [
        "Hello {{ a }} and {{ d.e }}, {{ b[0] }}",
        "{% for x in b if x is defined %}{{ loop.index }}: {{ x|tojson }}{% else %}none{% endfor %}",
        "{% if n > 2 and not (a == 'y') %}{{ a|upper|replace('X', 'z') }}{% elif a in 'xyz' %}1{% else %}2{% endif %}",
        "{% set q = n * 3 ~ 's' %}{{ q|default('d')|join(', ')|trim|length }}{# note #}{% raw %}{{ }}{% endraw %}",
        "{{ '%s' % n }} {{ b|map('int')|list|sort|first }} {{ range(3) }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(a) }}",
    ]
    return [values + source.encode() for source in sources]


def guard_seeds() -> list[bytes]:
    """Terms and required elements that overlap, fold and stand at edges, over a text with some of them."""
    config = {
        "pre_validation": {"prohibited_terms": ["ignore previous", "straße", "ﬁ"], "required_elements": ["name"]},
        "post_validation": {"prohibited_terms": ["secret", "a b", "ß"], "required_elements": ["thanks"]},
    }
    texts = ["a secret thing, thanks", "STRASSE \u0301\u0390 ignore  previous ﬁ", "a\u200bb a\u00a0b SECRET"]
    return [msgspec.json.encode(config) + b"\n" + text.encode() for text in texts]
