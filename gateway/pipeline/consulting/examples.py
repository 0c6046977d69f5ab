"""The vectors of example sentences, for guards that compare texts with them."""

from collections import OrderedDict

from gateway.guards.remote.asking import Vectors

MAX_REMEMBERED = 256
"""Sets held by a worker: one for each topic guard that is served; one that fell out is asked for again."""

Name = tuple[str, tuple[str, ...]]
"""The model, and the sentences."""


class Examples:
    """Vectors by model and sentences; a new release with the same examples finds them here. The least used go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Name, Vectors] = OrderedDict()

    def get(self, name: Name) -> Vectors | None:
        """None: they have to be asked for."""
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
        return kept

    def put(self, name: Name, vectors: Vectors) -> None:
        """Remember them."""
        self._kept[name] = vectors
        if len(self._kept) > MAX_REMEMBERED:
            self._kept.popitem(last=False)
