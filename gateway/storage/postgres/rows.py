"""What the registry answers with: plain values that the admin API may encode as they are. Times are aware datetimes in UTC."""

from datetime import date, datetime
from typing import Generic, Literal, TypeVar

from msgspec import UNSET, Struct, UnsetType

from gateway.core.credentials import SealedCredential
from gateway.core.documents import Change, VariantSpec, VersionContent

T = TypeVar("T")

Action = Literal["publish", "set", "rollback", "delete", "split", "promote"]


class Written(Struct, Generic[T], frozen=True):
    """The outcome of one write."""

    value: T
    generation: int
    """The registry generation after the write: what ``publish --wait`` waits for."""
    changes: list[Change]
    """What of the served content moved, for :meth:`gateway.core.ports.Cache.announce`; empty when nothing did."""
    created: bool = True
    """False when the registry already was as asked, and nothing was written."""


class Page(Struct, Generic[T], frozen=True):
    """A slice of a listing in key order."""

    items: list[T]
    next: str | None = None
    """What to pass as ``after`` for the following slice; None at the end."""


class Application(Struct, frozen=True):
    """A tenant."""

    id: str
    slug: str
    name: str
    description: str
    default_model: str | None
    requests_per_minute: int | None
    """For keys that have no limit of their own; None means no limit."""
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None
    store_responses: bool = False
    """Whether the gateway keeps its responses, for ``previous_response_id`` and for reading them back."""


class ApplicationPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What :meth:`update_application` may change; an absent field stays as it is."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    default_model: str | UnsetType | None = UNSET
    requests_per_minute: int | UnsetType | None = UNSET
    store_responses: bool | UnsetType = UNSET


class Key(Struct, frozen=True):
    """An API key as operators see it; neither the key nor its digest is part of it."""

    id: str
    application_id: str
    public_id: str
    name: str
    requests_per_minute: int | None
    """None: the application's."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    scopes: list[str] | None = None
    """What kinds of routes it opens; None: all."""
    prompts: list[str] | None = None
    """Patterns of the prompts that it may use; None: all."""
    models: list[str] | None = None
    """Patterns of the models and routes that its callers may ask for; None: all."""
    lifetime_seconds: int | None = None
    """What it was made for, and a successor will be; None: for ever."""
    replaced_by: str | None = None
    """The id of the key that took its place."""
    last_used_on: date | None = None
    """The newest day (UTC) of a call by it that has reached the ledger; None: never."""
    ancestors: list[str] = []
    """The public ids of the keys that it took the place of, the first one first."""


class KeyPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What :meth:`update_key` may change; an absent field stays as it is."""

    name: str | UnsetType = UNSET
    requests_per_minute: int | UnsetType | None = UNSET
    """None: the application's."""
    expires_in_seconds: int | UnsetType | None = UNSET
    """From now on; None: never."""
    scopes: list[str] | UnsetType | None = UNSET
    """None: all; the same below."""
    prompts: list[str] | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET


class Credential(Struct, frozen=True):
    """A key of a provider account, sealed, with what operators may know of it."""

    id: str
    owner: str
    """The application's id, or :data:`gateway.core.credentials.INSTALLATION`."""
    application: str | None
    """The application's slug; None: the installation's."""
    provider: str
    name: str
    """Tells several keys of one account apart."""
    hint: str
    """The last characters of the key."""
    key_id: str
    """Which of the installation's keys wrapped it."""
    wrapped_key: bytes
    ciphertext: bytes
    created_by: str
    created_at: datetime
    updated_at: datetime
    last_used_on: date | None = None
    """The newest day (UTC) of an attempt by it that has reached the ledger; None: never."""

    @property
    def sealed(self) -> SealedCredential:
        """What workers get of it."""
        return SealedCredential(self.id, self.owner, self.provider, self.key_id, self.wrapped_key, self.ciphertext)


class Prompt(Struct, frozen=True):
    """A prompt and where it stands."""

    id: str
    application_id: str
    slug: str
    folder: str
    """The slug up to its last slash; empty at the top."""
    description: str
    tags: list[str]
    is_active: bool
    latest_version: int
    """The newest version's number, published or not."""
    aliases: dict[str, int]
    """Version numbers by alias name; without those that are split."""
    splits: dict[str, dict[str, int]]
    """Version numbers by variant name, by the name of an alias that is split."""
    created_by: str
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


class PromptPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What :meth:`update_prompt` may change; an absent field stays as it is. Content changes by a new version only."""

    description: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class Version(Struct, frozen=True):
    """An immutable version of a prompt."""

    id: str
    prompt_id: str
    slug: str
    number: int
    semver: str | None
    content_hash: str
    branch: str
    parents: list[str]
    """Version ids; empty for a first version, two for a merge."""
    message: str
    created_by: str
    created_at: datetime
    published_at: datetime | None
    published_by: str | None
    aliases: list[str]
    """Names that point at it now, alone or as a variant of a split; sorted."""
    content: VersionContent | None = None
    """None in listings."""


class Split(Struct, frozen=True):
    """Named variants in the place of one version. It never changes."""

    id: str
    salt: str
    """The key of the hash that assigns units to variants."""
    variants: list[VariantSpec]
    created_by: str
    created_at: datetime


class NewSplit(Struct, frozen=True):
    """A split to be made."""

    variants: list[VariantSpec]
    salt: str | None = None
    """None: that of the split which it follows, else a new one."""
    expected_version: int | None = None
    """What the alias must point at now, else it is a ``conflict``; 0: it must not exist; None: anything."""
    expected_split: str | None = None
    """The same, where it is split."""


class Alias(Struct, frozen=True):
    """Where an alias points: a version, or a split."""

    slug: str
    name: str
    version: int | None
    """None: it is split; the same below."""
    content_hash: str | None
    generation: int
    """The generation of its last move."""
    protected: bool
    updated_by: str
    updated_at: datetime
    split: Split | None = None


class AliasMove(Struct, frozen=True):
    """One entry of an alias' append-only history."""

    slug: str
    alias: str
    action: Action
    from_version: int | None
    """None: the alias did not exist, or was split."""
    to_version: int | None
    """None: the alias was deleted, or split."""
    generation: int
    actor: str
    message: str
    at: datetime
    from_split: Split | None = None
    to_split: Split | None = None


class AuditEntry(Struct, frozen=True):
    """One link of the audit chain."""

    seq: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, str | int | bool | list[str] | None]
    hash: str
    """SHA-256 over the previous hash and this entry, 64 hex digits."""


class Worker(Struct, frozen=True):
    """A serving process as it last reported."""

    worker_id: str
    host: str
    pid: int
    slot: int
    generation: int
    """What it has applied."""
    age_s: float
    """Seconds since it reported."""
