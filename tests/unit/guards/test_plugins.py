"""Guards of others: what is taken into the catalogue, and what keeps the gateway from starting."""

import sys
import tomllib
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path

import pytest

from gateway.guards.catalogue import GuardType
from gateway.guards.plugins import GROUP, PluginError, install
from gateway.guards.shipped import CATALOGUE

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "promptgate-guard-shouting"


def entry(value: str, name: str = "mine") -> EntryPoint:
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``stranger`` that can be imported: its file, to be written."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stranger", raising=False)
    return tmp_path / "stranger.py"


GOOD = """
from msgspec import Struct
from gateway.guards.catalogue import GuardType
class Options(Struct, forbid_unknown_fields=True): pass
def made(name): return GuardType(name, Options, lambda options, param: None, 'Finds.', 'https://example.org')
"""


def test_one_type_or_several_are_added(module: Path):
    module.write_text(f"{GOOD}\nONE = made('one')\nMORE = [made('two'), made('three')]")
    catalogue = dict[str, GuardType]()
    assert install([entry("stranger:ONE", "b"), entry("stranger:MORE", "a")], catalogue) == ["two", "three", "one"]
    assert set(catalogue) == {"one", "two", "three"}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1 / 0", "cannot be loaded: ZeroDivisionError"),
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError"),
        ("", "cannot be loaded: AttributeError"),
        ("THING = 5", "is not a GuardType"),
        ("THING = []", "is not a GuardType"),
        (f"{GOOD}\nTHING = [made('a'), 5]", "is not a GuardType"),
        (f"{GOOD}\nTHING = made('')", "is not a name"),
        (f"{GOOD}\nTHING = made('a b')", "is not a name"),
        (f"{GOOD}\nTHING = made('regex')", "there is a guard 'regex' already"),
        (f"{GOOD}\nTHING = [made('a'), made('a')]", "there is a guard 'a' already"),
        (f"{GOOD}\nTHING = made('prohibited_terms')", "there is a guard 'prohibited_terms' already"),
    ],
)
def test_what_cannot_be_used_is_refused_and_changes_nothing(module: Path, text: str, wrong: str):
    module.write_text(text)
    catalogue = dict(CATALOGUE)
    with pytest.raises(PluginError, match=wrong) as caught:
        install([entry("stranger:THING")], catalogue, taken=("prohibited_terms",))
    assert "'mine' (stranger:THING)" in str(caught.value)
    assert catalogue == CATALOGUE


def test_the_example_package_is_found_by_its_entry_point(installed_example: Path):
    declared = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    found = [point for point in entry_points(group=GROUP) if point.name in declared]
    assert [(point.name, point.value) for point in found] == list(declared.items())
    catalogue = dict(CATALOGUE)
    assert install(found, catalogue) == ["shouting"]
    detector = catalogue["shouting"].make(catalogue["shouting"].options(), "p")
    assert [finding.what for finding in detector.find("I WANT MY MONEY BACK NOW PLEASE")] == ["shouting"]
    assert list(detector.find("I want my money back, NOW, please.")) == []
    assert Distribution.from_name("promptgate-guard-shouting").version == "0.1.0"
    assert installed_example.is_dir()
