"""The documents name what the program has: settings with their defaults, errors, metrics; and their links lead somewhere."""

import re
from pathlib import Path

import msgspec
import pytest

from gateway.core.documents import Validator
from gateway.core.errors import KINDS, Kind
from gateway.core.journal import PHASES
from gateway.guards.remote.types import REMOTE
from gateway.guards.shipped import CATALOGUE
from gateway.pipeline.receive import KNOWN_HEADERS
from gateway.prompts.dialect import FILTERS, FUNCTIONS, METHODS, STATEMENTS, TESTS
from gateway.settings import GuardEndpoint, Provider, Route, RouteTarget, Settings
from gateway.telemetry.metrics import Table, exposition

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
TABLES = [
    (name, value) for name in Settings.__struct_fields__ if isinstance(value := getattr(Settings(), name), msgspec.Struct)
]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def shown(value: object) -> str:
    """A default as the tables spell it."""
    if value is None:
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value != "" else "empty"


def required_or_default(field: msgspec.structs.FieldInfo) -> str:
    return "required" if field.required else shown(field.default)


@pytest.mark.parametrize(("section", "defaults"), TABLES, ids=[name for name, _ in TABLES])
def test_every_setting_is_documented_with_its_variable_and_default(section: str, defaults: msgspec.Struct) -> None:
    text = page("configuration.md")
    rows = [
        f"| `{key}` | {shown(getattr(defaults, key))} | `PROMPTGATE_{section.upper()}_{key.upper()}` | "
        for key in defaults.__struct_fields__
    ]
    assert f"### `[{section}]`" in text
    assert [row for row in rows if row not in text] == []


@pytest.mark.parametrize("kind", [Provider, Route])
def test_every_key_of_providers_toml_is_documented(kind: type[msgspec.Struct]) -> None:
    text = page("configuration.md")
    rows = [f"| `{field.name}` | {required_or_default(field)} | " for field in msgspec.structs.fields(kind)]
    assert [row for row in rows if row not in text] == []
    assert f"| `default_model` | `{Settings().default_model}` | " in text


def test_every_key_of_a_guard_endpoint_is_documented() -> None:
    text = page("configuration.md").partition("### `[guards.endpoints.NAME]`")[2].partition("\n### ")[0]
    rows = [f"| `{field.name}` | {required_or_default(field)} | " for field in msgspec.structs.fields(GuardEndpoint)]
    assert [row for row in rows if row not in text] == []


def test_every_guard_of_the_catalogue_is_documented() -> None:
    text = page("guardrails.md") + (page("guard-catalogue.md") if (DOCS / "guard-catalogue.md").exists() else "")
    named = set(re.findall(r"`([a-z0-9_]+)`", text))
    assert [name for name in CATALOGUE if name not in named] == []
    for entry in REMOTE:
        row = re.search(rf"^\| `{entry.name}` \|.*$", text, re.MULTILINE)
        assert row is not None
        assert [f.name for f in msgspec.structs.fields(entry.options) if f"`{f.name}`" not in row[0]] == []


def test_every_key_of_a_validator_is_documented() -> None:
    text = page("guardrails.md").partition("## A validator")[2].partition("\n## ")[0]
    assert [field.name for field in msgspec.structs.fields(Validator) if f"`{field.name}`" not in text] == []


def test_every_key_of_a_target_is_named() -> None:
    routes = page("configuration.md").partition("### `[[routes]]`")[2].partition("\n## ")[0]
    assert [key for key in RouteTarget.__struct_fields__ if f"`{key}`" not in routes] == []


def test_no_setting_is_documented_that_does_not_exist() -> None:
    real = {f"PROMPTGATE_{section.upper()}_{key.upper()}" for section, table in TABLES for key in table.__struct_fields__}
    named = set(re.findall(r"^\| `\w+` \|[^|]*\| `(PROMPTGATE_\w+)` \|", page("configuration.md"), re.MULTILINE))
    assert named == real


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_error_is_a_row_of_the_api_page(kind: Kind) -> None:
    retry = "yes" if kind.retryable else "no"
    assert f"| `{kind.name}` | {kind.status} | `{kind.openai_type}` | `{kind.code}` | {kind.origin} | {retry} | " in page(
        "api.md"
    )


def test_every_request_header_is_named() -> None:
    text = page("api.md")
    known = [header.decode() for header in KNOWN_HEADERS if header != b"content-encoding"]
    assert [header for header in known if f"`{header}`" not in text] == []


def test_the_words_of_the_template_dialect_are_those_of_the_program() -> None:
    told = page("api.md").partition("### Templates")[2].partition("### ")[0].split()
    words = {word.strip("`,;:-") for word in told}
    # The ends of blocks are not listed beside their beginnings.
    statements = {name for name in STATEMENTS if not name.startswith("end")}
    assert (statements | FUNCTIONS | METHODS | FILTERS | TESTS) - words == set()


def test_every_verb_is_a_row_of_the_tour() -> None:
    text = page("architecture.md")
    assert [verb for verb in ("receive", *PHASES[1:], "record") if f"| {verb} | [" not in text] == []


def test_every_metric_is_named_for_operators() -> None:
    _, body = exposition(Table(1, ["echo"]))
    names = re.findall(r"^# TYPE (\S+) ", body.decode(), re.MULTILINE)
    text = page("operations.md")
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"`{name}[`{{]", text)] == []


def anchors(text: str) -> set[str]:
    """What GitHub makes of headings: lower case, punctuation dropped, spaces to dashes."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("file", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(file: Path) -> None:
    broken: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def test_every_decision_is_in_the_index_and_has_the_same_parts() -> None:
    index = page("adr/README.md")
    for file in sorted((DOCS / "adr").glob("[0-9]*.md")):
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {file.name[:4]} ")
        assert f"]({file.name})" in index
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
            "Alternatives",
            "Enforced by",
        ]
