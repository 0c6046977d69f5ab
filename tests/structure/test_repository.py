"""What is committed: no secrets, no machine's own paths, a lock with hashes and no addresses, targets that exist."""

import os
import re
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Literal, get_origin, get_type_hints

import pytest
import yaml

from gateway.core.keys import well_formed
from gateway.settings import Security, load

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
SECRETS = {
    "OpenAI key": re.compile(r"\bsk-(?:proj-|ant-)?[A-Za-z0-9_-]{32,}"),
    "AWS key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}"),
    "private key": re.compile("-----BEGIN [A-Z ]*PRIVATE " + "KEY-----"),
}
OWN_KEY = re.compile(r"pg_[0-9A-Za-z]{12}_[0-9A-Za-z]{33}_[0-9A-Za-z]{6}")
NOT_OURS = re.compile(
    "|".join((r"(?<![\w.])/ro" + "ot/", "/wo" + "rk/", "/opt/py" + "pi", "py" + r"pi\.org", "python" + "hosted"))
)


def texts() -> list[tuple[str, str]]:
    """Name and text of everything that is, or would be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        paths = [Path(line) for line in listed.stdout.splitlines()]
    else:
        hidden = [p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file()]
        paths = [
            p for p in hidden if not any(part.startswith(".") or part in {"build", "__pycache__"} for part in p.parts[:-1])
        ]
    found: list[tuple[str, str]] = []
    for path in paths:
        try:
            found.append((str(path), (ROOT / path).read_text(encoding="utf-8")))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return found


def test_no_secret_is_committed() -> None:
    found = [f"{file}: {kind}" for file, text in texts() for kind, pattern in SECRETS.items() if pattern.search(text)]
    keys = [file for file, text in texts() if not file.startswith("tests/") and any(map(well_formed, OWN_KEY.findall(text)))]
    assert (found, keys) == ([], [])


def test_nothing_of_the_machine_that_built_it_is_committed() -> None:
    found = [f"{file}: {hit[0]}" for file, text in texts() if (hit := NOT_OURS.search(text))]
    assert found == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda p: p.name)
def test_every_locked_package_has_a_version_and_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash=)", text, re.MULTILINE), "an option other than a hash"
    packages = re.split(
        r"\n(?=[A-Za-z0-9])", "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    )
    for package in filter(None, map(str.strip, packages)):
        assert re.match(r"[A-Za-z0-9_.\[\]-]+==\S+", package), package[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", package), package[:80]


def test_the_locks_cover_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def missing(wanted: list[str], lock: str) -> list[str]:
        locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / lock).read_text(encoding="utf-8"), re.MULTILINE))
        names = [re.split(r"[^A-Za-z0-9_.-]", want)[0].lower().replace("_", "-") for want in wanted]
        return [name for name in names if name not in locked]

    runtime = project["project"]["dependencies"] + project["build-system"]["requires"]
    assert missing(runtime, "runtime.txt") == []
    assert missing(runtime + project["dependency-groups"]["dev"], "dev.txt") == []


def test_the_runtime_lock_is_part_of_the_development_lock() -> None:
    pins = [
        set(re.findall(r"^[a-z0-9-]+==\S+", (ROOT / "requirements" / lock).read_text(encoding="utf-8"), re.MULTILINE))
        for lock in ("runtime.txt", "dev.txt")
    ]
    assert pins[0] - pins[1] == set()


def test_make_knows_the_promised_targets_and_help_lists_them() -> None:
    promised = [
        "setup",
        "up",
        "run",
        "check",
        "test",
        "bench",
        "lock",
        "image",
        "clean",
        "deploy",
        "rebuild",
        "local-start",
        "local-stop",
        "db-migrate",
        "db-shell",
        "db-inspect",
        "test-verbose",
        "health",
        "logs",
        "local-mistral",
    ]
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [target for target in promised if not re.search(rf"^  {target} +\S", shown, re.MULTILINE)] == []


def test_what_make_starts_keeps_its_bytecode() -> None:
    probe = "probe: ; @echo $${PYTHONDONTWRITEBYTECODE-kept}"
    shown = subprocess.run(
        ["make", "--no-print-directory", "--eval", probe, "probe"],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "kept\n"


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert "\nmake test " in script.read_text(encoding="utf-8")


def secret_settings() -> list[str]:
    """The variables of the secrets of ``[security]``: all but a choice among words; a file is another way to give a secret."""
    choices = {name for name, hint in get_type_hints(Security).items() if get_origin(hint) is Literal}
    names = [name for name in Security.__struct_fields__ if not name.endswith("_file") and name not in choices]
    return [f"PROMPTGATE_SECURITY_{name.upper()}" for name in names]


def test_compose_passes_every_secret_on() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    given = compose["services"]["gateway"]["environment"]
    assert [name for name in secret_settings() if name not in given] == []
    assert [name for name in secret_settings() if not re.fullmatch(r"\$\{\w+:[-?][^}]*\}", given[name])] == [], (
        "none is written here"
    )


def test_the_containers_set_only_settings_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    # ${NAME:-default} and ${NAME:?message}, the two forms compose.yaml uses
    given = {
        name: re.sub(r"\$\{\w+:([-?])([^}]*)\}", lambda m: m[2] if m[1] == "-" else "given", value)
        for name, value in compose["services"]["gateway"]["environment"].items()
    }
    image = dict(re.findall(r"(PROMPTGATE_\w+)=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8")))
    settings = load(ROOT / "config", {**image, **given})
    assert (settings.server.host, settings.storage.directory) == ("0.0.0.0", "/data")
    assert settings.database.url.startswith("postgresql://promptgate:given@postgres:5432/")
    assert settings.security.admin_token == "given"
    assert settings.security.credentials_key == "", "what is not given is as if it were not there"
