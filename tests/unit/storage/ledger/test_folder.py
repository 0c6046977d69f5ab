"""Spool folders and their locks."""

import os
import shutil
from pathlib import Path

from gateway.storage.ledger import folder as folders
from gateway.storage.ledger.folder import dead_folders, make_folder, take


def test_a_living_owner_keeps_its_folder(tmp_path: Path):
    folder = make_folder(tmp_path / "new" / "root", 3)
    assert take(folder.path) is None
    assert list(dead_folders(tmp_path / "new" / "root")) == []
    folder.release()


def test_a_released_folder_is_found_oldest_first(tmp_path: Path):
    first, second = make_folder(tmp_path, 9), make_folder(tmp_path, 0)
    first.release()
    second.release()
    found = list(dead_folders(tmp_path))
    assert [folder.path for folder in found] == [first.path, second.path]
    for folder in found:
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_how_far_rows_are_shipped_is_remembered(tmp_path: Path):
    folder = make_folder(tmp_path, 0)
    assert folder.shipped() == (0, 0)
    folder.mark_shipped(3, 4711)
    folder.mark_shipped(4, 8)
    folder.release()
    again = take(folder.path)
    assert again is not None
    assert again.shipped() == (4, 8)
    again.remove()


def test_a_spoilt_mark_means_ship_all(tmp_path: Path):
    folder = make_folder(tmp_path, 0)
    folder.mark_shipped(3, 4711)
    mark = folder.path / "shipped"
    raw = bytearray(mark.read_bytes())
    raw[0] ^= 1
    mark.write_bytes(raw)
    assert folder.shipped() == (0, 0)
    mark.write_bytes(raw[:5])
    assert folder.shipped() == (0, 0)
    folder.remove()


def test_a_folder_deleted_between_open_and_lock_is_not_taken(tmp_path: Path, monkeypatch):
    path = tmp_path / "worker-000-1-1"
    path.mkdir()
    real = folders.fcntl.flock

    def delete_then_lock(descriptor, operation):
        shutil.rmtree(path)
        real(descriptor, operation)

    monkeypatch.setattr(folders.fcntl, "flock", delete_then_lock)
    assert take(path) is None
    assert take(path) is None


def test_a_newborn_folder_taken_by_a_neighbour_is_replaced(tmp_path: Path, monkeypatch):
    real, stolen = folders.take, []

    def steal_once(path):
        if not stolen:
            stolen.append(real(path))
        return real(path)

    monkeypatch.setattr(folders, "take", steal_once)
    folder = make_folder(tmp_path, 0)
    assert folder.path != stolen[0].path
    stolen[0].remove()
    folder.remove()


def test_a_folder_set_aside_is_not_found_again(tmp_path: Path):
    folder = make_folder(tmp_path, 0)
    folder.set_aside()
    assert list(dead_folders(tmp_path)) == []
    assert [path.name.startswith("damaged-spool-000-") for path in tmp_path.iterdir()] == [True]


def test_a_lock_does_not_reach_programs_that_we_start(tmp_path: Path):
    folder = make_folder(tmp_path, 0)
    assert not os.get_inheritable(folder._lock)
    folder.remove()
