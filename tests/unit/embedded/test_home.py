"""The storage directory: lock, secrets, exports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.embedded.home import kept_key, locked, with_secrets, write_exports
from gateway.embedded.process import EmbeddedError
from gateway.settings import load

HOLDER = "import sys, time; from pathlib import Path; from gateway.embedded.home import locked\nwith locked(Path(sys.argv[1])):\n  print('held', flush=True); time.sleep(60)"


def test_one_storage_directory_has_one_user_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(EmbeddedError, match=rf"running already \(process {holder.pid}\)"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert (tmp_path / "lock").read_text() == ""


def test_secrets_are_made_once_private_and_kept(tmp_path: Path) -> None:
    settings = load(tmp_path / "config", {})
    first, second = with_secrets(settings).security, with_secrets(settings).security
    assert first == second
    assert len(first.secret) >= 43
    assert first.secret != first.admin_token
    for name in ("secret", "admin-token"):
        assert (tmp_path / ".promptgate" / name).stat().st_mode & 0o777 == 0o600


def test_a_given_secret_wins_and_is_not_written(tmp_path: Path) -> None:
    given = {"PROMPTGATE_SECURITY_SECRET": "a", "PROMPTGATE_SECURITY_ADMIN_TOKEN": "b"}
    security = with_secrets(load(tmp_path / "config", given)).security
    assert (security.secret, security.admin_token) == ("a", "b")
    assert not (tmp_path / ".promptgate").exists()


def test_an_empty_secret_file_is_filled(tmp_path: Path) -> None:
    (tmp_path / ".promptgate").mkdir()
    (tmp_path / ".promptgate" / "secret").touch()
    assert len(with_secrets(load(tmp_path / "config", {})).security.secret) >= 43


def test_exports_survive_a_shell_and_hold_the_key_for_the_next_run(tmp_path: Path) -> None:
    file = tmp_path / "env"
    assert kept_key(file) is None
    write_exports(file, {"PROMPTGATE_URL": "http://h:1/'$(x) y", "OPENAI_API_KEY": "pg_abc_def_ghi"})
    assert file.stat().st_mode & 0o777 == 0o600
    read = subprocess.run(
        ["/bin/sh", "-c", f'. {file}; printf %s "$PROMPTGATE_URL"'], capture_output=True, text=True, check=True
    )
    assert read.stdout == "http://h:1/'$(x) y"
    assert kept_key(file) == "pg_abc_def_ghi"
    write_exports(file, {"PROMPTGATE_URL": "u"})
    assert kept_key(file) is None
    assert [p.name for p in tmp_path.iterdir()] == ["env"]
