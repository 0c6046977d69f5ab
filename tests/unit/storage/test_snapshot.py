"""The snapshot on disk: whole or not at all, and only ours."""

import os
from pathlib import Path

import pytest

from gateway.storage.snapshot import read, write

SECRET = b"s" * 32


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "made" / "here" / "snapshot"
    write(path, SECRET, b"payload")
    assert read(path, SECRET) == b"payload"
    write(path, SECRET, b"")
    assert read(path, SECRET) == b""
    assert os.listdir(path.parent) == ["snapshot"]


def test_it_is_nobody_elses_to_read(tmp_path: Path) -> None:
    write(tmp_path / "snapshot", SECRET, b"payload")
    assert (tmp_path / "snapshot").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "damage",
    [lambda d: d[:-1], lambda d: d + b"x", lambda d: d[:40] + b"X" + d[41:], lambda d: d[:10], lambda d: b""],
    ids=["cut", "longer", "altered", "short", "empty"],
)
def test_cut_or_altered_it_is_ignored(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "snapshot"
    write(path, SECRET, b"a payload of some length")
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert read(path, SECRET) is None


def test_signed_by_another_or_not_there_it_is_ignored(tmp_path: Path) -> None:
    write(tmp_path / "snapshot", b"other", b"payload")
    assert read(tmp_path / "snapshot", SECRET) is None
    assert read(tmp_path / "none", SECRET) is None
    assert read(tmp_path, SECRET) is None


def test_a_write_that_fails_leaves_the_old_one_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snapshot"
    write(path, SECRET, b"old")

    def full(_: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write(path, SECRET, b"new")
    assert read(path, SECRET) == b"old"
    assert os.listdir(tmp_path) == ["snapshot"]
