"""What the gate lets pass, what it inserts, and what it refuses by name."""

import pytest

from gateway.prompts.vet import MAX_JOINS, MAX_TAG, MAX_TAGS, vet


@pytest.mark.parametrize(
    ("source", "prepared"),
    [
        ("text", "text"),
        ("{{ x }}", "{{ x }}"),
        ("{% set a = b %}", "{% set a = (b)|_keep %}"),
        ("{% set a = b ~ c.d %}", "{% set a = ((b|_use(1, 'b')) ~ (c.d|_use(1, 'c.d')))|_keep %}"),
        ("{% set a, b = 1, 2 %}", "{% set a, b = (1, 2)|_keep %}"),
        ("{% set ns.x = ns.x + 1 %}", "{% set ns.x = ((ns.x|_use(1, 'ns.x')) + 1)|_keep %}"),
        ("{% set ns = namespace(x=1) %}", "{% set ns = namespace(x=1) %}"),
        ("{% set a %}b{% endset %}", "{% set a %}b{% endset %}"),
        ("{% for x in y %}{% endfor %}", "{% for x in (y)|_each('') %}{% endfor %}"),
        ("{%- for x in y if x -%}", "{%- for x in (y)|_each('') if x -%}"),
        ("{% for x in a ~ b %}", "{% for x in ((a|_use(1, 'a')) ~ (b|_use(1, 'b')))|_each('') %}"),
        ("{% if a + 1 %}", "{% if (a|_use(1, 'a')) + 1 %}"),
        ("{{ a.b|sort|join(', ') }}", "{{ a.b|_each('a.b')|sort|join(', ') }}"),
        ("{{ a[0]|upper }}", "{{ a[0]|_scan('')|upper }}"),
        ("{{ 'x'|upper }}", "{{ 'x'|_scan('')|upper }}"),
        ("{{ d.items()|list }}", "{{ d.items()|_each('')|list }}"),
        ("{{ a * 2 }}", "{{ a  ** 1 * 2 }}"),
        ("{{ a|length*2 }}", "{{ a|length ** 1 *2 }}"),
        ("{{ a[1:] }}", "{{ (a|_use(4, 'a'))[1:] }}"),
        ("{{ a ~ (b if b is defined) }}", "{{ (a|_use(1, 'a')) ~ ((b|_use(1, 'b')) if b is defined) }}"),
        ("{{ a ~ b|default('') }}", "{{ (a|_use(1, 'a')) ~ b|default('') }}"),
        ("{{ a ~ f(x=b) ~ loop.index }}", None),
        ("{{ a ~ dict(x=b).x ~ loop.index }}", "{{ (a|_use(2, 'a')) ~ dict(x=(b|_use(2, 'b'))).x ~ loop.index }}"),
        ("{{ a ~ b is odd }}", "{{ (a|_use(1, 'a')) ~ (b|_use(1, 'b')) is odd }}"),
        ("{{ a ~ b is not odd }}", "{{ (a|_use(1, 'a')) ~ (b|_use(1, 'b')) is not odd }}"),
        ("{% raw %}{{ x | y }}{% endraw %}", "{% raw %}{{ x | y }}{% endraw %}"),
        ("{# {{ x | y }} #}", "{# {{ x | y }} #}"),
        ("{{ '}}' }}", "{{ '}}' }}"),
        ('{{ "\\"}}" }}', '{{ "\\"}}" }}'),
        ("{{- x -}}", "{{- x -}}"),
        ("{{ not (a) }}", "{{ not (a) }}"),
        ("{{ a is not divisibleby(2) }}", "{{ a is not divisibleby(2) }}"),
        ("{{ a in (1, 2) }}", "{{ a in (1, 2) }}"),
        ("{{ loop.cycle('a', 'b') }}", "{{ loop.cycle('a', 'b') }}"),
        ("{{ {'a': {'b': 1} } }}", "{{ {'a': {'b': 1} } }}"),
    ],
)
def test_templates_are_prepared(source: str, prepared: str | None):
    if prepared is None:
        with pytest.raises(ValueError, match="unknown function 'f'"):
            vet(source)
    else:
        assert vet(source).source == prepared


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% include 'x' %}", "line 1: unknown statement 'include'"),
        ("a\n\n{% import 'x' as y %}", "line 3: unknown statement 'import'"),
        ("{% extends 'x' %}", "unknown statement 'extends'"),
        ("{% macro m() %}", "unknown function 'm'"),
        ("{% block b %}", "unknown statement 'block'"),
        ("{% filter upper %}", "unknown statement 'filter'"),
        ("{% autoescape true %}", "unknown statement 'autoescape'"),
        ("{% %}", "unknown statement ''"),
        ("{{ x|nosuch }}", "unknown filter 'nosuch'"),
        ("{{ x|attr('a') }}", "unknown filter 'attr'"),
        ("{{ x|_keep }}", "unknown filter '_keep'"),
        ("{{ x is nosuch }}", "unknown test 'nosuch'"),
        ("{{ x is not nosuch }}", "unknown test 'nosuch'"),
        ("{{ debug() }}", "unknown function 'debug'"),
        ("{{ x.pop('a') }}", "unknown method 'pop'"),
        ("{{ x . pop ('a') }}", "unknown method 'pop'"),
        ("{{ x['pop']() }}", "only functions, methods, filters and tests can be called"),
        ("{{ (x)() }}", "only functions"),
        ("{{ 'x'() }}", "only functions"),
        ("{{ self.b() }}", "unknown method 'b'"),
        ("{% for x in y recursive %}", "loops cannot be recursive"),
        ("{{ 'x' * n }}", "'*' needs a number on its right"),
        ("{{ 3 * 'x' }}", "'*' needs a number on its right"),
        ("{% set a|upper %}", "a set block takes no filters"),
        ("{% set ns = namespace(x=ns.x ~ ns.x) %}", "namespace(...) takes plain values"),
        ("{{ x", "a tag without its end"),
        ("{{ 'x }}", 'unknown sign "\'"'),
        ("{{ x $ }}", "unknown sign '$'"),
        ("{# x", "a comment without its end"),
        ("{% raw %}", "raw without endraw"),
        ("{{ {'a': {'b': 1}} }}", "an open bracket before '}}'"),
        ("{{ " + "-" * MAX_TAG + "1 }}", f"a tag of more than {MAX_TAG} characters"),
        ("{% if x %}" * (MAX_TAGS + 1), f"more than {MAX_TAGS} tags"),
        ("{{ " + "x~" * (MAX_JOINS + 1) + "x }}", f"more than {MAX_JOINS}"),
    ],
)
def test_everything_else_is_refused_by_name(source: str, problem: str):
    with pytest.raises(ValueError) as failure:
        vet(source)
    assert problem in str(failure.value)


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("text", True),
        ("{{ a }} {{b.c}}", True),
        ("{{- a }}", False),
        ("{{ a|upper }}", False),
        ("{{ a[0] }}", False),
        ("{{ true }}", False),
        ("{{ loop }}", False),
        ("{{ é }}", False),
        ("{# c #}", False),
        ("{% raw %}{% endraw %}", False),
        ("{% if a %}{% endif %}", False),
    ],
)
def test_templates_that_need_no_engine_are_known(source: str, plain: bool):
    assert vet(source).plain is plain


def test_variables_that_are_asked_about_are_known():
    source = "{{ a|default('x') }}{{ b|d }}{% if c is defined and d is not defined %}{% endif %}{% if e is undefined %}{% endif %}{{ f }}{{ g.h|default(1) }}{{ i is none }}"
    assert vet(source).guarded == {"a", "b", "c", "d", "e"}


def test_the_longest_text_in_a_loop_is_known():
    assert (
        vet("xxxxxxxxx{% for a in b %}yyy{% if c %}zzzzz{% endif %}{% raw %}1234567{% endraw %}{% endfor %}xxxxxxxxx").looped
        == 7
    )
    assert vet("xxxxxx{{ a }}").looped == 0


def test_reading_takes_linear_time():
    import time

    started = time.process_time()
    vet("{{ a|upper }}{# c #}" * 900)
    for unit in ("{{ ", "{# ", "{% raw %}", "{{ '"):
        with pytest.raises(ValueError):
            vet(unit * 6000)
    assert time.process_time() - started < 10, "unbounded, it takes minutes"
