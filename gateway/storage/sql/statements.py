"""Reading the ``.sql`` files of this folder: named statements, parsed once at import."""

from pathlib import Path

_MARK = "-- name: "


def load(file: str) -> dict[str, str]:
    """The statements of ``file`` by name: each starts with a line ``-- name: <name>``. ``KeyError`` for a name given twice."""
    statements: dict[str, str] = {}
    for part in (Path(__file__).parent / file).read_text(encoding="utf-8").split(_MARK)[1:]:
        name, _, body = part.partition("\n")
        if name in statements:
            raise KeyError(name)
        statements[name] = body.strip()
    return statements
