"""Guards of others: a package that is installed beside the gateway adds types to the catalogue.

Its entry points are in the group ``promptgate.guards``; each names a :class:`~gateway.guards.catalogue.GuardType`, or a sequence of
them. They are loaded once, before workers start. A package that cannot be loaded keeps the gateway from starting: a version that
names its guard would else be served without it, or refused later and somewhere else.
"""

from collections.abc import Iterable, MutableMapping, Sequence
from importlib.metadata import EntryPoint
from typing import cast

from gateway.guards.catalogue import GuardType

GROUP = "promptgate.guards"


class PluginError(Exception):
    """The gateway cannot start with this package; the text names the entry point and what is wrong with it."""


def install(entries: Iterable[EntryPoint], catalogue: MutableMapping[str, GuardType], taken: Iterable[str] = ()) -> list[str]:
    """Add the types of these entry points; the names that are new. ``taken``: further names that none may have.

    All or nothing. Raises :class:`PluginError`.
    """
    reserved = frozenset(taken)
    added: dict[str, GuardType] = {}
    for entry in sorted(entries, key=_place):
        where = f"plug-in {entry.name!r} ({entry.value})"
        try:
            loaded = entry.load()
        except Exception as error:
            raise PluginError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
        for made in _types(loaded, where):
            if not made.name or not made.name.replace("_", "a").replace("-", "a").isalnum() or not made.name.isascii():
                raise PluginError(f"{where}: {made.name!r} is not a name for a guard (letters, digits, _ and -)")
            if made.name in catalogue or made.name in added or made.name in reserved:
                raise PluginError(f"{where}: there is a guard {made.name!r} already; give it another name")
            added[made.name] = made
    catalogue.update(added)
    return list(added)


def _place(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, entry.value


def _types(loaded: object, where: str) -> Sequence[GuardType]:
    if isinstance(loaded, GuardType):
        return (loaded,)
    if isinstance(loaded, list | tuple):
        listed = cast("Sequence[object]", loaded)
        types = [made for made in listed if isinstance(made, GuardType)]
        if types and len(types) == len(listed):
            return types
    raise PluginError(f"{where} is not a GuardType, nor a sequence of them")
