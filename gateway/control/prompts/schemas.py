"""What callers send about prompts."""

from gateway.control.versions.schemas import ContentForm


class NewPrompt(ContentForm, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A prompt to be made, with its first version."""

    slug: str
    """May hold folders: ``billing/refund``."""
    description: str = ""
    tags: list[str] = []
    message: str = ""
    """Why."""
    semver: str | None = None
