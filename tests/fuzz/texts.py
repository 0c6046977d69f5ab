"""Fuzzing what authors write: templates with any values, guardrails with any text."""

import codecs
from typing import Any

import msgspec

from gateway.core.conversation import Message
from gateway.core.documents import Guardrails, MessageTemplate, VersionContent
from gateway.core.errors import GatewayError
from gateway.core.verdicts import ALLOW, Note
from gateway.guards.outgoing import Outgoing
from gateway.guards.plan import OutputGuard, compile_guards
from gateway.guards.stream import Rules
from gateway.prompts.compiler import compile_prompt
from tests.corpus.measure import load, names
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
    chunkings = [texts_of(parts) for parts in pieces(text.encode(errors="replace"))]
    whole, *others = [judged(plan.post, parts) for parts in chunkings]
    for other in others:
        assert other == whole
    assert plan.post.check([(0, "".join(chunkings[0]))]) == whole[0]


def texts_of(parts: list[bytes]) -> list[str]:
    """Pieces of UTF-8 as pieces of text: a character comes with its last byte."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    return [piece for part in parts if (piece := decoder.decode(part))]


def judged(guard: OutputGuard, parts: list[str]) -> tuple[Any, ...]:
    """The verdict on a stream; with validators also how much of it may be shown, and what was noted."""
    notes: list[Note] = []
    if guard.quick:
        scan = guard.scan()
        for part in parts:
            scan.feed(0, part)
        return (scan.finish(0),)
    outgoing = Outgoing(guard.texts or Rules(), guard.tools, {}, notes)
    verdict: Any = ALLOW
    for part in parts:
        verdict = outgoing.text(0, "content", part)
        if verdict is not ALLOW:
            break
    else:
        verdict = outgoing.end()
    return verdict, outgoing.window(0, "content").released, sorted(repr(note) for note in notes)


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
    """Terms and required elements that overlap, fold and stand at edges; and each guard of the catalogue over its own corpus."""
    config = {
        "pre_validation": {"prohibited_terms": ["ignore previous", "straße", "ﬁ"], "required_elements": ["name"]},
        "post_validation": {"prohibited_terms": ["secret", "a b", "ß"], "required_elements": ["thanks"]},
    }
    texts = ["a secret thing, thanks", "STRASSE \u0301\u0390 ignore  previous ﬁ", "a\u200bb a\u00a0b SECRET"]
    found = [msgspec.json.encode(config) + b"\n" + text.encode() for text in texts]
    for name in names():
        corpus = load(name)
        for action in ("block", "redact", "annotate"):
            validator = {"type": corpus.type, "options": corpus.head.options, "on_fail": action}
            section = {"validators": [validator]}
            config = {"pre_validation": section, "post_validation": section}
            picked = [example.text for example in corpus.examples if example.find][:2] or [corpus.examples[0].text]
            found += [msgspec.json.encode(config) + b"\n" + text.encode() for text in picked]
    return found
