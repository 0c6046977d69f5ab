"""How a prompt is named, everywhere: ``faq-bot``, ``faq-bot@staging``, ``faq-bot:7``, ``faq-bot:1.2.0``, ``faq-bot#3fa9c1``.

``pmpt_...`` slugs (OpenAI stored prompts) follow the same grammar; with the 32 hex digits of a prompt's own id they name that prompt,
unless one has the slug itself. A folder path is part of the slug (``billing/refund``).
"""

import re

from msgspec import Struct, structs

from gateway.core.errors import CONTRADICTION, MALFORMED, GatewayError

SLUG = r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*"
ALIAS = r"[a-z0-9][a-z0-9._-]{0,62}"
SEMVER = r"\d{1,9}\.\d{1,9}\.\d{1,9}(?:-[0-9A-Za-z.-]{1,64})?(?:\+[0-9A-Za-z.-]{1,64})?"
HASH = r"[0-9a-f]{6,64}"
MAX_SLUG = 255
"""Characters; what Langfuse allows for a prompt name, so imports fit."""
MAX_VERSION = 2**31 - 1
"""Version numbers are a Postgres integer."""

LATEST = "latest"
"""Reserved alias: the newest published version."""
DRAFT = "draft"
"""Reserved alias: the newest version, published or not; never served on the data plane."""
PRODUCTION = "production"
"""The alias that a bare name means."""
RESERVED_ALIASES = frozenset({LATEST, DRAFT})

_SLUG = re.compile(SLUG)
_ALIAS = re.compile(ALIAS)
_VERSION = re.compile(r"[1-9]\d{0,9}")
_SEMVER = re.compile(SEMVER)
_HASH = re.compile(HASH)
_BY_ID = re.compile(r"pmpt_[0-9a-f]{32}")


class Reference(Struct, frozen=True):
    """A prompt's slug and at most one selector; no selector at all means the alias ``production``."""

    slug: str
    alias: str | None = None
    version: int | None = None
    semver: str | None = None
    digest: str | None = None
    """A prefix (6 to 64 hex digits) of the content hash."""
    variant: str | None = None
    """The variant of a split alias that the caller pins by a header; never part of the text."""
    selector: str = ""
    """Derived: the part after the slug, canonical (``@production``, ``:7``, ``:1.2.0`` or ``#3fa9c1``)."""

    def __post_init__(self) -> None:
        if self.version is not None:
            selector = f":{self.version}"
        elif self.semver is not None:
            selector = f":{self.semver}"
        elif self.digest is not None:
            selector = f"#{self.digest}"
        else:
            selector = f"@{self.alias or PRODUCTION}"
        structs.force_setattr(self, "selector", selector)

    def __str__(self) -> str:
        return f"{self.slug}{self.selector}"


def is_slug(text: str) -> bool:
    """Whether ``text`` may name a prompt."""
    return len(text) <= MAX_SLUG and _SLUG.fullmatch(text) is not None


def prompt_id_of(slug: str) -> str | None:
    """The prompt's own id that ``pmpt_`` and 32 hex digits name, in its canonical form; None for every other slug."""
    if not slug.startswith("pmpt_") or _BY_ID.fullmatch(slug) is None:
        return None
    digits = slug.removeprefix("pmpt_")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def is_alias(text: str) -> bool:
    """Whether ``text`` may name an alias: the grammar, and not all digits (those are versions)."""
    return _ALIAS.fullmatch(text) is not None and not text.isdecimal()


def parse_reference(text: str, param: str) -> Reference:
    """Read a reference; ``param`` is the caller's field, for the message. Raises ``malformed``."""
    for mark in "@:#":
        slug, found, rest = text.partition(mark)
        if found:
            break
    else:
        slug, mark, rest = text, "", ""
    if not is_slug(slug):
        raise GatewayError(MALFORMED, f"{param}: {text[:80]!r} is not a prompt reference", param=param)
    if not mark:
        return Reference(slug)
    if mark == "@":
        return Reference(slug, alias=parse_alias(rest, param))
    if mark == ":":
        return parse_version(slug, rest, param)
    if _HASH.fullmatch(rest) is None:
        raise GatewayError(MALFORMED, f"{param}: {rest[:80]!r} is not a content hash (6 to 64 hex digits)", param=param)
    return Reference(slug, digest=rest)


def parse_alias(text: str, param: str) -> str:
    """Check an alias name. Raises ``malformed``."""
    if not is_alias(text):
        raise GatewayError(MALFORMED, f"{param}: {text[:80]!r} is not an alias name", param=param)
    return text


def parse_version(slug: str, text: str, param: str) -> Reference:
    """A version number or a semver as a selector of ``slug``. Raises ``malformed``."""
    if _VERSION.fullmatch(text) is not None and text.isascii() and int(text) <= MAX_VERSION:
        return Reference(slug, version=int(text))
    if _SEMVER.fullmatch(text) is not None and text.isascii():
        return Reference(slug, semver=text)
    raise GatewayError(MALFORMED, f"{param}: {text[:80]!r} is neither a version number nor a semver", param=param)


def narrow(a: Reference, b: Reference, a_param: str, b_param: str) -> Reference:
    """Combine two namings of one prompt; a missing selector gives way. Raises ``contradiction`` naming both fields."""
    unselected_a = a == Reference(a.slug)
    unselected_b = b == Reference(b.slug)
    if a.slug != b.slug or not (unselected_a or unselected_b or a == b):
        raise GatewayError(
            CONTRADICTION,
            f"{a_param} names {a.slug if unselected_a else a} but {b_param} names {b.slug if unselected_b else b}; give one",
            param=b_param,
        )
    return b if unselected_a else a
