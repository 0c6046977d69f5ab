"""What is stored: the immutable content of a prompt version, and the documents that the data plane serves from.

Documents travel Postgres -> Redis -> worker memory unchanged, so they carry everything that serving needs. They are decoded
strictly: an unknown or ill-typed field is an error naming it.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

SCHEMA_VERSION = 2
"""Of the cached documents below; a cache entry or snapshot with another number is a miss."""

Role = Literal["system", "developer", "user", "assistant", "tool"]
Format = Literal["jinja", "simple"]


class MessageTemplate(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="message"):
    """One stored message; ``content`` is template text in the version's format."""

    role: Role
    content: str


class Placeholder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="placeholder"):
    """Where the caller's messages go. Without one they are appended after the stored messages."""

    name: str = "messages"


class PreValidation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Guards on the rendered conversation, before any upstream call (coverage D07)."""

    enabled: bool = True
    prohibited_terms: list[str] = []
    """Case-insensitive, whole words unless the term has a non-word edge."""
    required_elements: list[str] = []
    """Texts of which each must occur, case-insensitive."""


class PostValidation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Guards on the answer, streaming included (coverage D07)."""

    enabled: bool = True
    prohibited_terms: list[str] = []
    required_elements: list[str] = []


class Guardrails(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The guardrail configuration of one version."""

    pre_validation: PreValidation = PreValidation()
    post_validation: PostValidation = PostValidation()


class VersionContent(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything a version fixes; its canonical JSON is what the content hash covers."""

    messages: list[MessageTemplate | Placeholder]
    format: Format = "jinja"
    variables: dict[str, Any] = {}
    """The variable contract: a JSON Schema of type object (draft 2020-12). Empty: any variables, all optional by schema."""
    undefined: Literal["strict", "keep", "empty"] = "strict"
    """What a variable that the caller did not give renders to: an error, its own tag, or nothing."""
    model: str = ""
    """The model or route to ask for; empty means the application's default route."""
    params: dict[str, Any] = {}
    """Defaults for the upstream request (temperature, max_tokens, ...), in OpenAI names."""
    overridable: list[str] = []
    """Names in ``params``, or ``model``, that a request may override; ``*`` allows all."""
    system_policy: Literal["reject", "append", "replace"] = "reject"
    """What happens to a caller's own system message beside a stored one."""
    guardrails: Guardrails = Guardrails()
    metadata: dict[str, Any] = {}


class VariantSpec(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One variant of a split, as its author wrote it: version x model x parameters x guardrails."""

    name: str
    version: int
    weight: int
    """Basis points; those of a split add up to 10,000."""
    model: str | None = None
    """None: the version's; the same below."""
    params: dict[str, Any] | None = None
    """Laid over the version's, name by name."""
    guardrails: Guardrails | None = None


class Variant(Struct, frozen=True):
    """One variant as it is served: its overrides are in its content."""

    name: str
    weight: int
    buckets: list[tuple[int, int]]
    """Which of the 10,000 buckets are its own, as ascending half-open ranges."""
    version: int
    content: VersionContent
    content_hash: str
    """Of the version: what ``name#hash`` finds, whatever the variant overrides."""
    semver: str | None = None


class Split(Struct, frozen=True):
    """Named variants with weights, in the place of one version."""

    id: str
    salt: str
    """The key of the hash that assigns units to buckets."""
    variants: list[Variant]


class ReleaseDocument(Struct, frozen=True):
    """What one reference of one application resolves to: the unit of caching.

    Where the alias is split, version, content, hash and semver are those of the first variant.
    """

    application_id: str
    prompt_id: str
    slug: str
    selector: str
    """Canonical selector this document answers for (:attr:`gateway.core.references.Reference.selector`)."""
    version: int
    content: VersionContent
    content_hash: str
    """SHA-256 of the canonical content, 64 hex digits."""
    generation: int
    """The registry generation at which this reading was made; an older document never replaces a newer one."""
    semver: str | None = None
    schema_version: int = SCHEMA_VERSION
    split: Split | None = None


class KeyDocument(Struct, frozen=True):
    """What an API key may do. Found by the SHA-256 of the key; the key itself is stored nowhere."""

    key_id: str
    application_id: str
    application: str
    """The application's slug."""
    public_id: str
    """The part of the key that may appear in logs."""
    requests_per_minute: int | None = None
    """None means no limit."""
    default_model: str | None = None
    """Asked for when neither the request nor the version names a model."""
    expires_at_ms: int | None = None
    generation: int = 0
    schema_version: int = SCHEMA_VERSION
    store_responses: bool = False
    """Whether the gateway keeps responses of the application (the Responses API's ``store``)."""


class Change(Struct, frozen=True):
    """One thing that moved: what workers drop when they reach ``generation``."""

    generation: int
    kind: Literal["prompt", "key", "application"]
    application_id: str
    name: str
    """The slug of the prompt, the digest of the key, or the slug of the application."""


_CANONICAL = msgspec.json.Encoder(order="deterministic")


def canonical(content: VersionContent) -> bytes:
    """The bytes that the content hash covers: defaults omitted, keys sorted, no white space."""
    return _CANONICAL.encode(content)
