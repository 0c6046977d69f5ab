"""What callers send and get about API keys."""

from datetime import datetime

from msgspec import Struct

from gateway.storage.postgres.rows import Key


class NewApiKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: str = ""
    requests_per_minute: int | None = None
    """None: the application's limit."""
    expires_in_seconds: int | None = None
    """None: never."""


class Regenerate(Struct, frozen=True, forbid_unknown_fields=True):
    """How the other keys end."""

    grace_seconds: int = 0
    """How long they stay valid."""


class CreatedKey(Struct, frozen=True):
    """A key at its birth."""

    id: str
    public_id: str
    name: str
    requests_per_minute: int | None
    created_at: datetime
    expires_at: datetime | None
    api_key: str
    """Shown only now; only its SHA-256 is stored."""

    @classmethod
    def of(cls, key: Key, api_key: str) -> "CreatedKey":
        """From what was stored and the text that was not."""
        return cls(key.id, key.public_id, key.name, key.requests_per_minute, key.created_at, key.expires_at, api_key)
