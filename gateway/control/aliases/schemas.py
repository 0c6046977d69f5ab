"""What callers send and get about moving an alias."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.documents import Guardrails
from gateway.core.references import PRODUCTION
from gateway.storage.postgres.rows import Action, AliasMove, Split, Worker

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
    """Where an alias is to point: at a version or at a split, one of the two."""

    version: int | str | None = None
    """A number, a semver, another alias or ``#hash``."""
    split: str | None = None
    """The id of a split that the prompt had before."""
    expected_version: int | None = None


class AskedVariant(Struct, frozen=True, forbid_unknown_fields=True):
    """One variant of a split: a version, and what it serves differently."""

    name: str
    """What ``x-prompt-variant``, the ledger and the history call it; the grammar of aliases."""
    version: int | str
    """A number, a semver, an alias or ``#hash``."""
    weight: int
    """Basis points: 10,000 is all. 0 is a variant that only a pin reaches."""
    model: str | None = None
    """Instead of the version's."""
    params: dict[str, Any] | None = None
    """Laid over the version's, name by name."""
    guardrails: Guardrails | None = None
    """Instead of the version's."""


class AskedSplit(Wait, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Variants for an alias; their weights add up to 10,000."""

    variants: list[AskedVariant]
    salt: str | None = None
    """The key of the hash. Null: that of the split before, so that units stay where they are, else a new one."""
    expected_version: int | None = None
    """What the alias must point at now, else it is a conflict; 0: it must not exist; null: anything."""
    expected_split: str | None = None
    """The same, where it is split."""


class Promote(Wait, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The variant that is to be served to all."""

    variant: str
    expected_split: str | None = None


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
    from_split: Split | None
    """Where it was split before; the version is null then."""
    to_split: Split | None

    @classmethod
    def of(cls, move: AliasMove, changed: bool, propagation: Propagation | None) -> "Moved":
        """From a history entry and how far it has got."""
        return cls(**msgspec.structs.asdict(move), changed=changed, propagation=propagation)
