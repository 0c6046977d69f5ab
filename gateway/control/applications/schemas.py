"""What callers send about applications."""

from msgspec import Struct

from gateway.storage.postgres.rows import Application


class NewApplication(Struct, frozen=True, forbid_unknown_fields=True):
    """An application to be made."""

    slug: str
    name: str = ""
    description: str = ""
    default_model: str | None = None
    """Asked for when neither the request nor the prompt's version names a model."""
    requests_per_minute: int | None = None
    """For keys without a limit of their own; null means no limit."""
    store_responses: bool = False
    """Whether the gateway keeps its responses, for ``previous_response_id`` and for reading them back."""


class CreatedApplication(Struct, frozen=True):
    """An application at its birth, with its first key."""

    id: str
    slug: str
    name: str
    public_id: str
    """Of the key: the part that may be logged."""
    api_key: str
    """Shown only now; only its SHA-256 is stored."""

    @classmethod
    def of(cls, application: Application, public_id: str, api_key: str) -> "CreatedApplication":
        """From what was stored and the key that was not."""
        return cls(application.id, application.slug, application.name, public_id, api_key)
