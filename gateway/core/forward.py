"""Calls that are forwarded rather than translated: embeddings, moderations, images, audio, files, batches."""

from typing import Protocol

from msgspec import Struct

from gateway.core.upstream import HttpRequest, Target

EMBEDDINGS, MODERATIONS, IMAGES, AUDIO, FILES, BATCHES = FORWARDED = (
    "embeddings",
    "moderations",
    "images",
    "audio",
    "files",
    "batches",
)
"""Names of the doors, as the ledger and the metrics know them: the first part of their paths."""


class Forwarded(Struct, frozen=True):
    """One call in OpenAI's form, as a provider is to be asked."""

    door: str
    method: bytes
    path: str
    """Below the target's base URL, with the query (``/files?limit=2``)."""
    content_type: bytes
    """Empty when there is no body."""
    body: bytes
    """The model in it is the target's already."""


class Forwarder(Protocol):
    """How a provider family takes forwarded calls. Pure, like a ``Translator``."""

    @property
    def doors(self) -> frozenset[str]:
        """Which of them it has."""
        ...

    @property
    def verbatim(self) -> bool:
        """Whether its answers are in OpenAI's form, so that they may be streamed; else ``answer`` makes them so."""
        ...

    def request(self, target: Target, call: Forwarded) -> HttpRequest:
        """The call in the provider's form, with the provider's credentials. Raises ``malformed`` naming a field."""
        ...

    def answer(self, call: Forwarded, model: str, body: bytes) -> bytes:
        """A whole JSON answer, in OpenAI's form. ``model`` is the target's. Raises ``upstream_invalid``."""
        ...
