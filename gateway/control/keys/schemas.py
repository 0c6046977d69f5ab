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
    scopes: list[str] | None = None
    """What kinds of routes it opens (``chat``, ``embeddings``, ...); None: all."""
    prompts: list[str] | None = None
    """Patterns of the prompts that it may use (``faq-bot``, ``billing/*``, ``faq-bot@staging``); None: all."""
    models: list[str] | None = None
    """Patterns of the models and routes that its callers may ask for themselves (``gpt-4o*``); None: all."""


class Regenerate(Struct, frozen=True, forbid_unknown_fields=True):
    """How the keys end that are replaced."""

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
    scopes: list[str] | None
    prompts: list[str] | None
    models: list[str] | None
    api_key: str
    """Shown only now; only its SHA-256 is stored."""

    @classmethod
    def of(cls, key: Key, api_key: str) -> "CreatedKey":
        """From what was stored and the text that was not."""
        stored = {name: getattr(key, name) for name in cls.__struct_fields__ if name != "api_key"}
        return cls(**stored, api_key=api_key)
