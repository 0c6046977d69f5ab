"""What callers send and get about keys of provider accounts. A secret goes in, and never comes out."""

from datetime import date, datetime
from typing import Annotated

from msgspec import Meta, Struct

from gateway.storage.postgres.rows import Credential

MAX_SECRET = 4096
"""Characters: vendors' keys have up to some 200; a service's token (a JWT, say) may have a few thousand."""
_HINT = 4
_SHORTEST = 16
"""Characters from which on the last four may be shown: of a shorter secret they would be a quarter and more."""

Secret = Annotated[str, Meta(min_length=1, max_length=MAX_SECRET, pattern=r"^[\x21-\x7e]*$")]
"""Printable ASCII without blanks: what can stand in a header."""
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class NewCredential(Struct, frozen=True, forbid_unknown_fields=True):
    """A key of a provider account, to be kept."""

    provider: str
    """A name from `providers.toml`."""
    secret: Secret
    """The API key itself."""
    application: str | None = None
    """Whose it is, by slug; null: the installation's."""
    name: Name = "default"
    """Tells several keys of one account apart; they are used in turn."""

    def __repr__(self) -> str:
        return f"NewCredential({self.provider!r})"


class NewSecret(Struct, frozen=True, forbid_unknown_fields=True):
    """Another key in the place of one."""

    secret: Secret

    def __repr__(self) -> str:
        return "NewSecret(...)"


class CredentialView(Struct, frozen=True):
    """A kept key, as people may see it."""

    id: str
    provider: str
    application: str | None
    name: str
    last4: str
    """Empty for short keys."""
    key_id: str
    """Which of the installation's keys it is encrypted with."""
    opens: bool
    """Whether the worker that answers can decrypt it; one that cannot be is not used."""
    created_by: str
    created_at: datetime
    updated_at: datetime
    last_used_on: date | None
    """The newest day (UTC) of a call by it that is in the ledger, its former texts included; null: never."""

    @classmethod
    def of(cls, stored: Credential, *, opens: bool) -> "CredentialView":
        """From what is stored."""
        return cls(
            stored.id,
            stored.provider,
            stored.application,
            stored.name,
            stored.hint,
            stored.key_id,
            opens,
            stored.created_by,
            stored.created_at,
            stored.updated_at,
            stored.last_used_on,
        )


def hint_of(secret: str) -> str:
    """What of a secret may be shown."""
    return secret[-_HINT:] if len(secret) >= _SHORTEST else ""
