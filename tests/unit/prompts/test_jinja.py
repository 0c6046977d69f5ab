"""The engine: what works, what fails with which words, and that nothing of Python can be reached."""

from typing import Any

import pytest

from gateway.core.errors import MISSING_VARIABLE, TEMPLATE_FAILED, GatewayError
from gateway.prompts.jinja import MIN_FUEL, JinjaSet
from gateway.prompts.simple import Undefined
from gateway.prompts.vet import vet

DATA: dict[str, Any] = {
    "d": {"a": 1, "b": [1, "two", {"x": None}], "c": {"k": "v"}},
    "l": [3, 1, 2],
    "s": "str",
    "n": 5,
    "rows": [{"k": "p", "v": 2}, {"k": "q", "v": 1}],
    "big": 10**45,
}


def render(source: str, undefined: Undefined = "strict", **values: Any) -> str:
    engine = JinjaSet(undefined)
    engine.add(1, vet(source))
    return engine.render(1, engine.begin(values or DATA))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for x in l %}{{ loop.index }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}", "1:3, 2:1, 3:2"),
        ("{% for x in l if x > 1 %}{{ x }}{% endfor %}", "32"),
        ("{% for x in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for k, v in d.items() %}{{ k }};{% endfor %}", "a;b;c;"),
        ("{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}", 'a=1;b=[1,"two",{"x":null}];c={"k":"v"};'),
        ("{% for k in d %}{{ d[k] }},{% endfor %}", '1,[1,"two",{"x":null}],{"k":"v"},'),
        ("{% for row in rows %}{{ row.k }}{{ row.v * 2 }} {% endfor %}", "p4 q2 "),
        ("{%- for x in l -%} {{ x }} {%- endfor -%}", "312"),
        ("{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "32"),
        ("{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        ("{% for x in range(2, 8, 3) %}{{ x }}{% endfor %}{{ range(3) }}", "25[0,1,2]"),
        ("{% if n > 4 and s %}y{% elif z is defined %}n{% else %}m{% endif %}", "y"),
        ("{% set ns = namespace(n=0) %}{% for x in l %}{% set ns.n = ns.n + x %}{% endfor %}{{ ns.n }}", "6"),
        ("{% set x %}hi {{ s }}{% endset %}{{ x }}", "hi str"),
        ("{% set p = [l, l] %}{{ p }}{{ p[1][0] }}{{ p|length }}", "[[3,1,2],[3,1,2]]32"),
        ("{% raw %}{{ x }}{% endraw %}{# gone #}\n", "{{ x }}\n"),
        ("{{ d }}", '{"a":1,"b":[1,"two",{"x":null}],"c":{"k":"v"}}'),
        ("{{ d.b[1] }}{{ d.c['k'] }}{{ d.b[2].x }}", "twov"),
        ("{{ d.get('a') }}{{ d.get('q') }}{{ d.get('q', 7) }}{{ d.keys() }}{{ d.c.values() }}", '17["a","b","c"]["v"]'),
        ("{{ 'a' in d }}{{ 9 in l }}{{ l == [3, 1, 2] }}{{ d.c == {'k': 'v'} }}", "truefalsetruetrue"),
        ("{{ true }}{{ none }}{{ 1.5 }}{{ -n }}{{ n // 2 }}{{ n % 2 }}{{ n ** 2 }}", "true1.5-52125"),
        ("{{ s if n > 9 }}", ""),
        ("{{ s ~ 1 ~ l }}", "str1[3,1,2]"),
        ("{{ s[::-1] }}{{ l[1:] }}", "rts[1,2]"),
        ("{{ s|upper }}{{ s|title }}{{ '  x '|trim }}{{ s|length }}{{ s|first }}", "STRStrx3s"),
        ("{{ s|replace('t', 'T') }}{{ s|split('t') }}", 'sTr["s","r"]'),
        (
            "{{ l|sort }}{{ l|join('-') }}{{ l|sum }}{{ l|max }}{{ l|reverse|list }}{{ l|unique|list }}",
            "[1,2,3]3-1-263[2,1,3][3,1,2]",
        ),
        ("{{ rows|map(attribute='k')|join }}{{ rows|join('+', attribute='v') }}{{ rows|sum(attribute='v') }}", "pq2+13"),
        ("{{ rows|sort(attribute='v')|map(attribute='k')|list }}", '["q","p"]'),
        ("{{ rows|selectattr('v', 'gt', 1)|list }}{{ l|select('odd')|list }}", '[{"k":"p","v":2}][3,1]'),
        ("{{ 'a\nb\n\nc'|indent(2) }}", "a\n  b\n\n  c"),
        ("{{ 'a\n\nb'|indent(width=1, first=true, blank=true) }}", " a\n \n b"),
        ("{{ 'one two three'|truncate(10) }}|{{ s|truncate(3) }}|{{ 'abcdef'|truncate(5, true, '.') }}", "one...|str|abcd."),
        ("{{ d.c|tojson }}{{ d.c|json(indent=2) }}{{ s|json }}{{ none|json }}", '{"k":"v"}{\n  "k": "v"\n}"str"null'),
        ("{{ z|default('q') }}{{ z is defined }}{{ z is not defined }}{{ n is divisibleby(5) }}", "qfalsetruetrue"),
        ("{{ '<b>' }}{{ '&'|upper }}", "<b>&"),
        ("a\n{{ s }}\n", "a\nstr\n"),
    ],
)
def test_the_language(source: str, text: str):
    assert render(source) == text


@pytest.mark.parametrize(
    "expression",
    [
        "d.__class__",
        "d._value",
        "d._budget",
        "s.__class__",
        "d['__class__']",
        "l.append",
        "l.__len__",
        "d.pop",
        "d.a.real",
        "(1).__class__",
    ],
)
def test_python_cannot_be_reached(expression: str):
    with pytest.raises(GatewayError) as failure:
        render("{{ " + expression + " }}")
    assert failure.value.kind in {MISSING_VARIABLE, TEMPLATE_FAILED}


def test_a_method_is_no_value():
    with pytest.raises(GatewayError, match="type method cannot be inserted"):
        render("{{ d.items }}")


def test_templates_cannot_change_the_callers_values():
    values: dict[str, Any] = {"d": {"a": [1]}}
    render("{% set x = d.a %}{% set y = x + [2] %}{{ y }}{{ d|dictsort }}", **values)
    assert values == {"d": {"a": [1]}}


@pytest.mark.parametrize(
    ("source", "kind", "detail"),
    [
        ("{{ d.zz }}", MISSING_VARIABLE, "variable 'd.zz' is required by message 1"),
        ("{{ d.b[9] }}", MISSING_VARIABLE, "variable 'd.b[9]' is required by message 1"),
        ("{{ gone|upper }}", MISSING_VARIABLE, "variable 'gone' is required and is missing or null"),
        ("{{ gone ~ s }}", MISSING_VARIABLE, "variable 'gone' is required and is missing or null"),
        ("{{ d.c.gone|sort }}", MISSING_VARIABLE, "variable 'd.c.gone' is required and is missing or null"),
        ("{% if s is string and gone %}{% endif %}", MISSING_VARIABLE, "variable 'gone' is required by message 1"),
        (
            "a\n{{ s * 3 }}",
            TEMPLATE_FAILED,
            "message 1, line 2: tried to use ** operator on unsupported types string and number",
        ),
        ("{{ s|sum }}", TEMPLATE_FAILED, "sum adds numbers only"),
        ("{{ n|join }}", TEMPLATE_FAILED, "a value of type int is no sequence"),
        ("{{ range(99999) }}", TEMPLATE_FAILED, "range makes at most 10000 numbers"),
        ("{{ s|indent(101) }}", TEMPLATE_FAILED, "indent takes 0 to 100 spaces"),
        ("{{ l|map('format')|list }}", TEMPLATE_FAILED, "message 1, line 1: an operation that these values do not allow"),
        ("{{ d.b.keys() }}", TEMPLATE_FAILED, "message 1 cannot be rendered with these variables"),
        ("{{ d[l] }}", MISSING_VARIABLE, "variable 'd[...]' is required by message 1"),
    ],
)
def test_failures_say_what_is_wrong(source: str, kind: object, detail: str):
    with pytest.raises(GatewayError) as failure:
        render(source)
    assert failure.value.kind is kind
    assert failure.value.detail == detail


def test_syntax_errors_name_the_line():
    with pytest.raises(ValueError, match="line 3: unexpected end of input"):
        JinjaSet("strict").add(0, vet("a\nb\n{% if x %}"))


def test_what_a_template_needs_is_known_before_rendering():
    engine = JinjaSet("strict")
    assert engine.add(0, vet("{{ a.b }}{% for x in c %}{{ x }}{% endfor %}{{ e|default(1) }}{{ range(2) }}")) == {"a", "c"}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x }}|{{ x.y.z }}|{% if x %}a{% else %}b{% endif %}", "{{ x }}|{{ x.y.z }}|b"),
        ("{{ x|default('q') }}", "q"),
        ("{{ s }}", "str"),
    ],
)
def test_keep_leaves_the_tag(source: str, text: str):
    assert render(source, "keep", s="str") == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ x }}|{{ x.y.z }}|{% if x %}a{% else %}b{% endif %}", "||b"),
        ("{{ x|upper }}{{ x ~ 'a' }}{{ x|sort }}{% for i in x %}{% endfor %}", "a[]"),
        ("{{ d.zz.q }}", ""),
    ],
)
def test_empty_leaves_nothing(source: str, text: str):
    assert render(source, "empty", d={}) == text


BIG = "y" * 1_000_000
MANY = [f"item{i}" for i in range(20_000)]


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(100) %}{% for j in range(100) %}{% for k in range(100) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% set a = 'x' %}" + "{% set a = a ~ a %}" * 400 + "{{ a|length }}",
        "{% set a = 'x' %}" + "{% set a = a + a %}" * 400 + "{{ a|length }}",
        "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 400 + "{{ a }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(2000) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
        "{% for i in range(3000) %}{{ big }}{% endfor %}",
        "{% for i in range(9000) %}{{ small }}{% endfor %}",
        "{% for i in range(9000) %}" + BIG[:60_000] + "{% endfor %}",
        "{{ big|replace('y', big[:1000])|length }}",
        "{{ many|join(big)|length }}",
        "{{ (big ~ small)|replace('y', '\n')|indent(100) }}",
        "{% for i in range(9000) %}{{ big|upper|length }}{% endfor %}",
        "{% for i in range(9000) %}{{ small|title|length }}{% endfor %}",
        "{% for i in range(9000) %}{{ range(9000)|sum }}{% endfor %}",
        "{% for i in range(9000) %}{{ range(9000)|length }}{% endfor %}",
        "{% for x in many %}{% if x in many %}.{% endif %}{% endfor %}",
        "{% for x in many %}{% for y in many|sort %}{% endfor %}{% endfor %}",
        "{% for x in many %}{% if x in big %}{% endif %}{% endfor %}",
        "{% for x in many %}{% if big[::-1] %}{% endif %}{% endfor %}",
        "{% for x in many %}{% if " + "~".join(["big"] * 32) + " %}{% endif %}{% endfor %}",
        "{{ " + "~".join(["big"] * 32) + " }}",
        "{% for c in big %}{{ c }}{% endfor %}",
        "{{ big|split('')|length }}",
        "{% for i in range(9000) %}{% set x = table.items() %}{% endfor %}",
        "{{ [many, many, many, many, many, many, many, many]|tojson }}",
    ],
)
def test_hostile_templates_are_stopped_early(source: str):
    """Both in time (25 ms measured; the bound here only tells an end from none, on any machine) and in memory."""
    import time
    import tracemalloc

    engine = JinjaSet("strict")
    engine.add(1, vet(source))
    values = {"big": BIG, "small": "z" * 20_000, "many": MANY, "table": dict.fromkeys(MANY, 1)}
    started = time.process_time()
    with pytest.raises(GatewayError) as failure:
        engine.render(1, engine.begin(values))
    assert failure.value.kind is TEMPLATE_FAILED
    assert time.process_time() - started < 10, "unbounded, it takes minutes"
    tracemalloc.start()
    with pytest.raises(GatewayError):
        engine.render(1, engine.begin(values))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


def test_the_budget_is_new_for_every_rendering():
    engine = JinjaSet("strict")
    engine.add(1, vet("{% for x in many %}{% endfor %}{{ big }}"))
    for _ in range(5):
        assert engine.render(1, engine.begin({"big": BIG, "many": ["x"] * 100})) == BIG


def test_fuel_shrinks_with_long_variables_but_not_below_a_page_of_logic():
    engine = JinjaSet("strict")
    engine.add(1, vet("{% for i in range(100) %}{{ i }}{% endfor %}{% if big %}{% endif %}"))
    assert engine.render(1, engine.begin({"big": BIG})).endswith("99")
    assert engine._env.fuel == MIN_FUEL
    assert engine.render(1, engine.begin({"big": ""})).endswith("99")
    assert engine._env.fuel is not None
    assert engine._env.fuel > MIN_FUEL


def test_a_panic_of_the_engine_is_a_failed_template_and_other_exits_pass(monkeypatch: pytest.MonkeyPatch):
    class PanicException(BaseException):
        pass

    engine = JinjaSet("strict")
    engine.add(1, vet("x"))

    def run(error: BaseException) -> None:
        class Broken:
            fuel = 0

            def render_template(self, *_args: object, **_values: object) -> str:
                raise error

        monkeypatch.setattr(engine, "_env", Broken(), raising=False)
        engine.render(1, {})

    with pytest.raises(GatewayError) as failure:
        run(PanicException("index out of bounds"))
    assert failure.value.kind is TEMPLATE_FAILED
    assert failure.value.cause == "PanicException: index out of bounds"
    with pytest.raises(KeyboardInterrupt):
        run(KeyboardInterrupt())
