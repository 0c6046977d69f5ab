"""What must be true of the source as a whole, whoever writes the next file."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("gateway", "admin_cli", "loadtests")
HARD_CAP = 500
"""Lines of a file of the program; one that grows past it is two."""
HARD_CAP_OF_TESTS = 850
"""Lines of a test file: a contract suite is one long list."""
VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def python_files(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py") if "__pycache__" not in p.parts)


@functools.cache
def imports(file: Path) -> tuple[str, ...]:
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_no_file_is_longer_than_the_hard_cap() -> None:
    for cap, folders in ((HARD_CAP, CODE), (HARD_CAP_OF_TESTS, ("tests",))):
        lengths = {name(f): len(f.read_text(encoding="utf-8").splitlines()) for f in python_files(*folders)}
        assert {file: n for file, n in lengths.items() if n > cap} == {}


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    assert [name(f) for f in python_files(*CODE) if VAGUE & {f.stem, *f.relative_to(ROOT).parts}] == []


def test_a_package_file_holds_one_docstring_and_nothing_else() -> None:
    for file in python_files(*CODE):
        if file.name == "__init__.py":
            body = ast.parse(file.read_text(encoding="utf-8")).body
            assert len(body) == 1, name(file)
            assert isinstance(body[0], ast.Expr), name(file)


def test_the_map_in_the_package_docstring_names_every_package() -> None:
    text = (ROOT / "gateway" / "__init__.py").read_text(encoding="utf-8")
    parts = {p.stem for p in (ROOT / "gateway").iterdir() if p.name != "__pycache__"} - {"__init__", "__main__"}
    assert [part for part in sorted(parts) if not re.search(rf"\b{part}\b", text)] == []


IMPORT_ALL = """
import importlib, pkgutil, socket, sys, threading
def closed(*a, **k): raise AssertionError("a socket while importing")
socket.socket.connect = socket.socket.bind = socket.getaddrinfo = closed
count = 0
for module in pkgutil.walk_packages(importlib.import_module(sys.argv[1]).__path__, sys.argv[1] + "."):
    before = threading.active_count()
    importlib.import_module(module.name)
    assert threading.active_count() == before, module.name + " starts a thread while it is imported"
    count += 1
print(count)
"""


@pytest.mark.parametrize(("package", "at_least"), [("gateway", 50), ("admin_cli", 10), ("loadtests", 5)])
def test_every_module_imports_without_network_and_without_starting_anything(package: str, at_least: int) -> None:
    # locust patches what others have imported before it, and gevent warns about that: its way of life.
    strictness = [] if package == "loadtests" else ["-W", "error"]
    done = subprocess.run(
        [sys.executable, *strictness, "-c", IMPORT_ALL, package],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= at_least


HOMES = {
    "asyncpg": ("gateway/storage/postgres/",),
    "sqlalchemy": ("gateway/storage/postgres/",),
    "alembic": ("gateway/storage/postgres/",),
    "redis": ("gateway/storage/redis/",),
    "prometheus_client": ("gateway/telemetry/",),
    "opentelemetry": ("gateway/telemetry/",),
    "requests": ("gateway/telemetry/traces/",),
    "tiktoken": ("gateway/limits/tokens.py",),
    "minijinja": ("gateway/prompts/",),
    "re2": ("gateway/guards/", "gateway/routing/table.py"),
    "fasttext": ("gateway/guards/language/model.py",),
    "cryptography": ("gateway/storage/vault.py",),
    "hyperscan": ("gateway/guards/terms.py",),
    "uvicorn": ("gateway/server/",),
    "uvloop": ("gateway/server/",),
    "httpx": ("gateway/transport/",),
    "litestar": ("gateway/app.py", "gateway/edge/", "gateway/control/"),
    "openai": (),
    "anthropic": (),
    "pydantic": (),
}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_in_its_home_only(library: str) -> None:
    guests = [
        name(file)
        for file in python_files("gateway")
        if any(i == library or i.startswith(f"{library}.") for i in imports(file))
        and not name(file).startswith(HOMES[library] or ("-",))
    ]
    assert guests == []


@pytest.mark.parametrize("folder", ["admin_cli", "loadtests"])
def test_clients_import_nothing_from_the_gateway(folder: str) -> None:
    assert [name(f) for f in python_files(folder) if any(i.split(".")[0] == "gateway" for i in imports(f))] == []


def test_layers() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_unit_tests_mirror_the_tree() -> None:
    unit = ROOT / "tests" / "unit"
    for file in unit.rglob("test_*.py"):
        folder = file.relative_to(unit).parent
        top = ROOT if folder.parts[:1] in {("admin_cli",), ("loadtests",)} else ROOT / "gateway"
        assert (top / folder).is_dir(), f"{name(file)} mirrors no folder of {top.name}"


def test_nothing_is_left_to_do_later() -> None:
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "Not" + "ImplementedError")))
    assert [name(f) for f in python_files(*CODE) if marks.search(f.read_text(encoding="utf-8"))] == []
