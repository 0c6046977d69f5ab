"""``up``: what can be told without starting a gateway. The whole program is driven in tests/e2e."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.embedded.process import EmbeddedError
from gateway.embedded.up import check_port

ROOT = Path(__file__).parents[3]


def program(command: list[str], home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PROMPTGATE_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *command],
        env={**own, "PROMPTGATE_STORAGE_DIRECTORY": str(home), **environ},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_a_message_that_says_how_to_choose_another(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as taken:
        try:
            taken.bind((host, 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=rf"port {port} on {host} is taken.* PROMPTGATE_PORT=\d+ make up"):
            check_port(host, port)
    check_port(host, port)


def test_an_address_that_is_not_ours_is_told_apart_from_a_taken_port() -> None:
    with pytest.raises(EmbeddedError, match=r"cannot listen on 192\.0\.2\.1 port 8080: "):
        check_port("192.0.2.1", 8080)


def test_up_on_a_taken_port_ends_with_the_message_and_starts_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = program(["up"], tmp_path, PROMPTGATE_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("command", [[], ["start"], ["up", "now"]])
def test_wrong_usage_shows_the_commands(command: list[str], tmp_path: Path) -> None:
    done = program(command, tmp_path)
    assert done.returncode == 2
    assert "up | serve | migrate" in done.stderr


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    done = program(["up"], tmp_path, PROMPTGATE_SERVER_PROT="1")
    assert done.returncode == 2
    assert done.stderr.startswith("settings: environment variable 'PROMPTGATE_SERVER_PROT' is unknown; did you mean")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_serve_and_migrate_do_not_start_servers(command: str, tmp_path: Path) -> None:
    done = program([command], tmp_path)
    assert done.returncode == 2
    assert "PROMPTGATE_DATABASE_URL is not set" in done.stderr


def test_a_config_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = program(["serve"], tmp_path, PROMPTGATE_CONFIG=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "nowhere is not a folder" in done.stderr


def test_migrate_brings_an_empty_database_up_and_says_so(tmp_path: Path, empty_database: str) -> None:
    first = program(["migrate"], tmp_path, PROMPTGATE_DATABASE_URL=empty_database)
    assert (first.returncode, first.stdout[:8]) == (0, "applied ")
    assert program(["migrate"], tmp_path, PROMPTGATE_DATABASE_URL=empty_database).stdout == "nothing to apply\n"
