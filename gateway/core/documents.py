"""What is stored: the immutable content of a prompt version, and the documents that the data plane serves from.

Documents travel Postgres -> Redis -> worker memory unchanged, so they carry everything that serving needs. They are decoded
strictly: an unknown or ill-typed field is an error naming it.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.core.credentials import SealedCredential
from gateway.core.limits import LimitRule

SCHEMA_VERSION = 3
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


OnFail = Literal["block", "mask", "redact", "replace", "reask", "annotate", "fallback"]
"""``block`` refuses; ``mask`` puts placeholders that are restored in the answer; ``redact`` puts the kind of what was found, for good;
``replace`` puts ``replacement``; ``reask`` asks the model again with the complaint; ``annotate`` only says so in a header and the
row; ``fallback`` has another alias answer."""


class Validator(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One guard of the catalogue, and what happens when it finds something (coverage D07)."""

    type: str
    """Its name in the catalogue (``pii``, ``regex``, ``http``, ...)."""
    name: str = ""
    """What errors, headers and rows call it; empty means ``type``."""
    options: dict[str, Any] = {}
    """What its type may be told."""
    on_fail: OnFail = "block"
    mode: Literal["enforce", "observe"] = "enforce"
    """``observe`` judges and writes down, and changes nothing for the caller."""
    stage: Literal["text", "stream", "whole", "tools"] = "text"
    """What of an answer it judges: ``stream`` the text as it comes, ``whole`` the text when it is complete, ``tools`` the names and
    arguments of tool calls; ``text`` is the first of ``stream`` and ``whole`` that the guard can do. Going in, ``text`` is every
    message and ``tools`` the tool definitions and the tool calls of the history."""
    timeout_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    """For guards that ask others; None is what their type says."""
    on_error: Literal["closed", "open"] = "closed"
    """What happens when it could not judge in time: ``closed`` refuses the call, ``open`` lets it pass; both are counted."""
    replacement: str = ""
    """What ``replace`` puts in the place of what was found."""
    message: str = ""
    """Not empty: a block is answered with this text as a normal answer, instead of an error."""
    fallback: str = ""
    """The reference that answers in the case of ``fallback`` (``faq-bot@safe``)."""


class PreValidation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Guards on the rendered conversation, before any upstream call (coverage D07)."""

    enabled: bool = True
    prohibited_terms: list[str] = []
    """Case-insensitive, whole words unless the term has a non-word edge."""
    required_elements: list[str] = []
    """Texts of which each must occur, case-insensitive."""
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The score from which scoring guards of this section find something, unless a validator says its own; None: each type's own."""
    validators: Annotated[list[Validator], Meta(max_length=64)] = []
    budget_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    """How long the guards of this section that ask others may take together; None: 5 s."""
    on_media: Literal["open", "closed"] = "open"
    """Whether pictures, sound and files, which no guard can read, may pass: ``closed`` blocks them."""


class PostValidation(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Guards on the answer, streaming included (coverage D07)."""

    enabled: bool = True
    prohibited_terms: list[str] = []
    required_elements: list[str] = []
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    validators: Annotated[list[Validator], Meta(max_length=64)] = []
    budget_ms: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    format_schema: dict[str, Any] | None = None
    """A JSON Schema (draft 2020-12) that the whole answer must be an instance of, as JSON: short for a ``json`` validator."""
    on_media: Literal["open", "closed"] = "open"


class Guardrails(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The guardrail configuration of one version, or of an application."""

    pre_validation: PreValidation = PreValidation()
    post_validation: PostValidation = PostValidation()
    max_reasks: Annotated[int, Meta(ge=1, le=3)] = 1
    """How often a model is asked again for one call, all guards together; each costs a whole call."""


decode_guardrails = msgspec.json.Decoder(Guardrails).decode
encode_guardrails = msgspec.json.Encoder(order="deterministic").encode
"""Guardrails of an application as bytes: equal ones are the same bytes, which compiled ones are found by."""

MAX_CACHE_SECONDS = 30 * 86_400
"""Thirty days: past that an answer is data, and belongs in a database."""


class AnswerCache(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether equal requests may share an answer. It is the version's own word: the gateway cannot know what is deterministic."""

    ttl_seconds: Annotated[int, Meta(ge=0, le=MAX_CACHE_SECONDS)] = 0
    """How long a complete answer is kept for requests that are equal to its own; 0 keeps none."""
    coalesce: bool = False
    """Whether a request that is equal to a running one of the same worker shares its answer."""


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
    cache: AnswerCache = AnswerCache()
    """What may be answered without asking the provider again."""
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
    changed: int = 0
    """How often something of this application had moved when this was read: what its callers are told, since the registry's generation
    tells of others. 0 in documents of older programs."""


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
    scopes: list[str] | None = None
    """What kinds of routes it opens (:data:`gateway.core.grants.SCOPES`); None: all."""
    prompts: list[str] | None = None
    """Patterns of the references that it may use; None: all of the application's."""
    models: list[str] | None = None
    """Patterns of the models and routes that its callers may ask for themselves; None: all."""
    limits: list[LimitRule] = []
    """The rules of the application."""
    guardrails: Guardrails | None = None
    """What judges every call of the application, before a version's own; None: nothing."""
    routes: list[dict[str, Any]] | None = None
    """The application's own routes, in the grammar of ``[[routes]]`` in ``providers.toml``; they go before the installation's."""
    credentials: list[SealedCredential] = []
    """The application's own keys of provider accounts."""
    ancestors: list[str] = []
    """The public ids of the keys that it took the place of by rotation, the first one first: limits of those are limits of it."""


class Change(Struct, frozen=True):
    """One thing that moved: what workers drop when they reach ``generation``.

    An ``application`` whose id is :data:`gateway.core.credentials.INSTALLATION`: the installation's own keys of provider accounts.
    """

    generation: int
    kind: Literal["prompt", "key", "application"]
    application_id: str
    name: str
    """The slug of the prompt, the digest of the key, or the slug of the application."""


_CANONICAL = msgspec.json.Encoder(order="deterministic")


def canonical(content: VersionContent) -> bytes:
    """The bytes that the content hash covers: defaults omitted, keys sorted, no white space."""
    return _CANONICAL.encode(content)
