"""Whose keys a call goes out with: the application's own, else those kept for the installation, else those of the configuration.

Stored keys arrive sealed: the application's with the documents of its API keys, the installation's by a question of their own. They
are opened here, into the tables of routes, and nowhere else. One that does not open is left out, loudly. If it was the last of an
application's keys for a provider, that provider is not asked for it: the application chose its account, and another account may have
other terms. The installation falls back to its configuration, which is its own.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from msgspec import Struct, structs

from gateway.core.credentials import INSTALLATION, AccountKey, CredentialError, SealedCredential
from gateway.core.documents import KeyDocument
from gateway.routing.compile import compile_route, compile_routes
from gateway.routing.table import Route, RouteTable
from gateway.settings import Settings, SettingsError, is_configured
from gateway.settings_providers import read_routes

MAX_TABLES = 20_000
"""Applications with routes or keys of their own per worker, as many as entries of any other kind."""

_CONDITIONS = ("tags", "min_input_tokens", "max_input_tokens")
"""What makes a route one for some calls only."""

_log = logging.getLogger("gateway.accounts")

Keys = dict[str, tuple[AccountKey, ...]]


class _Own(Struct):
    """What one application has of its own."""

    generation: int
    routes: list[dict[str, Any]] | None
    credentials: list[SealedCredential]
    table: RouteTable
    keys: Keys
    locked: int


class Accounts:
    """A worker's accounts. ``table`` is the installation's; ``open_sealed`` gives a secret or raises ``CredentialError``.

    ``takers``: who takes forwarded calls whatever they are about, in the order of the configuration.
    """

    def __init__(
        self,
        settings: Settings,
        table: RouteTable,
        open_sealed: Callable[[SealedCredential], str],
        takers: Sequence[str] = (),
    ) -> None:
        self._settings = settings
        self._takers = takers
        self._table = table
        self._open = open_sealed
        self._own: dict[str, _Own] = {}
        self._stored: Keys = {}
        self._locked = 0
        self.due = True
        """Whether the installation's keys are to be read again."""
        self.installed: list[SealedCredential] = []
        """The installation's, as they were last read."""
        table.passthrough = self._passthrough()

    @property
    def locked(self) -> int:
        """How many credentials do not open here."""
        return self._locked + sum(own.locked for own in self._own.values())

    @property
    def tables(self) -> Iterable[RouteTable]:
        """Every table there is, the installation's first."""
        return [self._table, *(own.table for own in self._own.values())]

    @property
    def installation(self) -> RouteTable:
        """The table of all who have none of their own."""
        return self._table

    @property
    def own_tables(self) -> list[tuple[str, RouteTable]]:
        """Those of applications, by id."""
        return [(application_id, own.table) for application_id, own in self._own.items()]

    def own_table(self, application_id: str) -> RouteTable | None:
        """An application's; None: it has nothing of its own here."""
        own = self._own.get(application_id)
        return None if own is None else own.table

    def table_for(self, application_id: str | None) -> RouteTable:
        """The table that an application's calls go by, as far as this worker has met it."""
        own = None if application_id is None else self.own_table(application_id)
        return self._table if own is None else own

    def stored(self) -> frozenset[str]:
        """Providers with a key of the installation's in the database."""
        return frozenset(self._stored)

    def install(self, sealed: list[SealedCredential]) -> None:
        """These are the installation's keys now. What the configuration says holds for providers without one that opens."""
        if sealed == self.installed:
            return
        self.installed = sealed
        opened, self._locked = self._opened(INSTALLATION, sealed)
        self._stored = {provider: keys for provider, keys in opened.items() if keys}
        self._table.replace(compile_routes(self._settings, self._stored), self._stored)
        self._table.passthrough = self._passthrough()
        for own in self._own.values():
            own.table.replace(self._routes(own.routes, own.keys), own.keys)
            own.table.passthrough = self._passthrough_of(own.routes, own.keys)

    def table_of(self, document: KeyDocument) -> RouteTable | None:
        """The table of the application that an API key belongs to; None: it has nothing of its own.

        An application has one table, whose content follows the newest document that came by.
        """
        name, known = document.application_id, self._own.get(document.application_id)
        if known is not None and document.generation < known.generation:
            return known.table
        if not document.routes and not document.credentials:
            self._own.pop(name, None)
            return None
        if known is not None and (known.routes, known.credentials) == (document.routes, document.credentials):
            known.generation = document.generation
            return known.table
        keys, locked = self._opened(name, document.credentials)
        routes = self._routes(document.routes, keys)
        if known is None:
            if len(self._own) >= MAX_TABLES:
                self._own.pop(next(iter(self._own)))
            table = self._table.over(routes, keys)
        else:
            table = known.table
            table.replace(routes, keys)
        table.passthrough = self._passthrough_of(document.routes, keys)
        self._own[name] = _Own(document.generation, document.routes, document.credentials, table, keys, locked)
        return table

    def _routes(self, own: list[dict[str, Any]] | None, keys: Keys) -> list[Route]:
        """An application's routes before the installation's. A route that fits no longer takes its calls and leads nowhere."""
        made: list[Route] = []
        for route in own or ():
            try:
                (able,) = read_routes([route], self._settings.providers, "a stored route,")
            except SettingsError as error:
                _log.error("a route of an application cannot be used", extra={"cause": str(error)})
                made.append(Route(tuple(_names(route)), ()))
            else:
                made.append(compile_route(able, self._settings))
        stored = {provider for provider, found in {**self._stored, **keys}.items() if found}
        return [*made, *compile_routes(self._settings, stored)]

    def _passthrough(self) -> str | None:
        """The installation's: the one that says so, else the first that is set up."""
        providers = self._settings.providers
        names = [name for name, provider in providers.items() if provider.passthrough]
        names = names or [name for name, provider in providers.items() if is_configured(provider) or name in self._stored]
        return next((name for name in names if name in self._takers), None)

    def _passthrough_of(self, routes: list[dict[str, Any]] | None, keys: Keys) -> str | None:
        """An application's: where its own route for every model leads, else a provider that it has its own account at.

        An account whose keys do not open is its own all the same: its calls go nowhere rather than out on another.
        """
        usual = self._table.passthrough
        for route in routes or ():
            if "*" in _names(route) and not any(route.get(name) is not None for name in _CONDITIONS):
                led = [name for name in _providers(route) if name in self._takers]
                if led:
                    return led[0]
        own = [name for name in self._takers if name in keys]
        return usual if usual in own or not own else own[0]

    def _opened(self, owner: str, sealed: Sequence[SealedCredential]) -> tuple[Keys, int]:
        """The secrets by provider, none where none opens; and how many did not. Only what was sealed for ``owner`` opens."""
        keys: Keys = {}
        locked = 0
        for credential in sealed:
            mine = keys.setdefault(credential.provider, ())
            try:
                secret = self._open(structs.replace(credential, owner=owner))
            except CredentialError as error:
                locked += 1
                _log.error(
                    "a stored credential does not open",
                    extra={"target": credential.provider, "cause": f"credential {credential.id} of {owner}: {error}"},
                )
            else:
                keys[credential.provider] = (*mine, AccountKey(secret, credential.id))
        return {provider: found for provider, found in keys.items() if provider in self._settings.providers}, locked


def _providers(route: dict[str, Any]) -> list[str]:
    """Where a route leads, in its order; nowhere if it cannot be read."""
    targets: object = route.get("targets")
    listed = cast("list[object]", targets) if isinstance(targets, list) else []
    return [str(cast("dict[str, object]", target).get("provider")) for target in listed if isinstance(target, dict)]


def _names(route: dict[str, Any]) -> list[str]:
    """The patterns of a route that cannot be read otherwise."""
    names: object = route.get("models")
    return [str(name) for name in cast("list[object]", names)] if isinstance(names, list) else []
