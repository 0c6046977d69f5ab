"""What callers send and get about moving an alias."""

from datetime import datetime

import msgspec
from msgspec import Struct

from gateway.core.references import PRODUCTION
from gateway.storage.postgres.rows import Action, AliasMove, Worker

MAX_WAIT_MS = 30_000
"""Proxies in front of the API commonly cut a silent request after 60 s."""


class Wait(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether to answer only when every live worker serves the change."""

    message: str = ""
    """Why."""
    wait: bool = False
    wait_timeout_ms: int = 5_000
    """Workers apply a change within milliseconds, and within a second when its announcement was lost."""


class Rollback(Wait, frozen=True, forbid_unknown_fields=True):
    """Back to the version before."""

    expected_version: int | None = None


class Publish(Wait, frozen=True, forbid_unknown_fields=True):
    """A version to be served."""

    alias: str = PRODUCTION
    expected_version: int | None = None
    """What the alias must point at now, else it is a conflict; 0: it must not exist; null: anything."""


class SetAlias(Wait, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an alias is to point."""

    version: int | str
    """A number, a semver, another alias or ``#hash``."""
    expected_version: int | None = None


class Propagation(Struct, frozen=True):
    """Proof, or the lack of it, that every live worker serves a generation."""

    generation: int
    waited_ms: float
    """From the commit."""
    workers: int
    """How many are alive."""
    lagging: list[Worker]
    """Those that had not applied it in time."""


class Moved(Struct, frozen=True):
    """What happened to an alias."""

    slug: str
    alias: str
    action: Action
    from_version: int | None
    to_version: int | None
    generation: int
    actor: str
    message: str
    at: datetime
    changed: bool
    """False when the alias was there already."""
    propagation: Propagation | None

    @classmethod
    def of(cls, move: AliasMove, changed: bool, propagation: Propagation | None) -> "Moved":
        """From a history entry and how far it has got."""
        return cls(**msgspec.structs.asdict(move), changed=changed, propagation=propagation)
