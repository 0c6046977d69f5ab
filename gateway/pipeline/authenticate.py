"""key -> Caller. Memory first, Redis and Postgres behind it; nobody can tell why a key opens nothing.

Missing, malformed, unknown, revoked and expired keys get one answer. Keys are found by a digest of their text, never compared
with a stored secret: how far a wrong digest agrees with a right one says nothing about the text behind it, so no comparison on
the way (of dicts, Redis or a B-tree) has to take constant time. The form and the checksum, which are no secret, are all that is
judged of the text itself; they keep what is no key of ours away from the stores.
"""

from gateway.core.errors import UNAUTHENTICATED, GatewayError
from gateway.core.journal import Journal
from gateway.core.keys import well_formed
from gateway.core.requests import Caller, Inbound
from gateway.pipeline.releases import KeyEntry
from gateway.pipeline.services import Services

_REFUSAL = "Incorrect API key provided. Send a valid key as 'Authorization: Bearer pg_...' or 'x-api-key: pg_...'."


_REMEMBERED = 4096
"""Credentials whose digest is remembered; only good ones are, so guesses cannot fill it."""
_digests: dict[bytes | None, str] = {}


async def authenticate(inbound: Inbound, services: Services, journal: Journal | None = None) -> Caller:
    """Who is calling. Raises ``unauthenticated``, ``store_unavailable``; ``forbidden`` when the key lacks the route's scope."""
    caller = authenticate_now(inbound, services, journal)
    if caller is not None:
        return caller
    return _enter(await _look_up(inbound.headers.get(b"authorization"), inbound, services), inbound, journal)


def authenticate_now(inbound: Inbound, services: Services, journal: Journal | None) -> Caller | None:
    """As :func:`authenticate` for a credential whose key is in memory; None: it has to be looked up."""
    digest = _digests.get(inbound.headers.get(b"authorization"))
    entry = None if digest is None else services.releases.key_now(digest)
    return None if entry is None else _enter(entry, inbound, journal)


def _enter(entry: KeyEntry, inbound: Inbound, journal: Journal | None) -> Caller:
    expires = entry.document.expires_at_ms
    if expires is not None and inbound.started_ms >= expires:
        raise GatewayError(UNAUTHENTICATED, _REFUSAL)
    caller = entry.caller
    if journal is not None:
        journal.caller = caller  # before the next line, so that a refusal has its row
    if caller.grant is not None:
        caller.grant.enter(inbound.door)
    return caller


async def _look_up(credential: bytes | None, inbound: Inbound, services: Services) -> KeyEntry:
    if credential is None:
        # Where Anthropic's clients put it; an authorization header goes before it, as both may come from one SDK.
        credential = b"bearer " + inbound.headers.get(b"x-api-key", b"")
    if credential[:7].lower() != b"bearer ":
        raise GatewayError(UNAUTHENTICATED, _REFUSAL)
    key = credential[7:].strip()
    names = services.peppers.digests(key)
    found = next(((name, entry) for name in names if (entry := services.releases.key_now(name)) is not None), None)
    # The checksum in the key keeps guesses away from the stores.
    if found is None and well_formed(key.decode("latin-1")):
        found = await _find(names, services)
    if found is None:
        raise GatewayError(UNAUTHENTICATED, _REFUSAL)
    name, entry = found
    if len(_digests) >= _REMEMBERED:
        _digests.clear()
    _digests[credential] = name
    return entry


async def _find(names: tuple[str, ...], services: Services) -> tuple[str, KeyEntry] | None:
    """By which of its digests a key is stored. Raises ``store_unavailable``."""
    away: GatewayError | None = None
    for name in names:
        try:
            entry = await services.releases.key(name)
        except GatewayError as error:
            away = error  # by another name it may be among what is last-known-good
            continue
        if entry is not None:
            return name, entry
    if away is not None:
        raise away
    return None
