"""How a request names a prompt, whatever its dialect: in the body, by the model name, by headers. All namings must agree.

A model name with ``@`` or ``#`` is a prompt reference; a plain one is a prompt if the application has it, else the name of a route.
"""

import re
from typing import Any

from msgspec import Struct, structs

from gateway.core.errors import CONTRADICTION, MALFORMED, GatewayError
from gateway.core.references import Reference, narrow, parse_alias, parse_reference, parse_version
from gateway.wire.openai import PromptObject

MAX_MODEL = 256
"""Characters of a model name."""
MAX_LABEL = 256
"""Characters of a user, session, unit or tag."""
MAX_TAGS = 16

_NAMING = frozenset(
    (b"x-session-id", b"x-tags", b"x-prompt", b"x-prompt-unit", b"x-prompt-version", b"x-prompt-alias", b"x-prompt-variant")
)
_PINS = frozenset((b"x-prompt-version", b"x-prompt-alias", b"x-prompt-variant"))
SELECTOR = re.compile("[@:#]")
"""What follows the slug in a reference."""
_REMEMBERED = 4096
"""Distinct model names whose reading is remembered; names come from callers, so the memory is bounded."""
_candidates: dict[str, Reference | None] = {}


class Labels(Struct, frozen=True, gc=False):
    """What headers say of a call beside the prompt."""

    session: str | None = None
    unit: str | None = None
    tags: tuple[str, ...] = ()


_NO_LABELS = Labels()


def pinned(reference: Reference | None, headers: dict[bytes, bytes], param: str) -> Reference | None:
    """Narrow a reference by the pin headers. Raises ``contradiction`` or ``malformed`` naming them."""
    version = _label(headers, b"x-prompt-version")
    alias = _label(headers, b"x-prompt-alias")
    if version is not None and alias is not None:
        raise GatewayError(
            CONTRADICTION,
            f"x-prompt-version ({version}) and x-prompt-alias ({alias}) are both given; give one",
            param="x-prompt-alias",
        )
    variant = _label(headers, b"x-prompt-variant")
    if version is None and alias is None:
        return reference if variant is None else _with_variant(reference, variant)
    name = "x-prompt-version" if version is not None else "x-prompt-alias"
    if reference is None:
        raise GatewayError(MALFORMED, f"{name}: given, but no prompt is named", param=name)
    pin = (
        parse_version(reference.slug, version, name)
        if version is not None
        else Reference(reference.slug, alias=parse_alias(alias or "", name))
    )
    reference = narrow(reference, pin, param, name)
    return reference if variant is None else _with_variant(reference, variant)


def _with_variant(reference: Reference | None, variant: str) -> Reference:
    """Only an alias has variants; whether this one has, only its release knows."""
    if reference is None:
        raise GatewayError(MALFORMED, "x-prompt-variant: given, but no prompt is named", param="x-prompt-variant")
    if reference.selector[0] != "@":
        raise GatewayError(
            CONTRADICTION,
            f"x-prompt-variant ({variant}) pins a variant of an alias, but {reference} is a version; give one",
            param="x-prompt-variant",
        )
    return structs.replace(reference, variant=variant)


def named(
    model: str, prompt: PromptObject | None, variables: dict[str, Any] | None, headers: dict[bytes, bytes]
) -> tuple[Labels, Reference | None, dict[str, Any]]:
    """What headers say of a call, the prompt that it names, all namings combined, and its variables.

    Raises ``malformed``, ``contradiction``.
    """
    if not _NAMING.isdisjoint(headers):
        return _labels(headers), *named_prompt(model, prompt, variables, headers)
    if variables and model and prompt is None:
        return _NO_LABELS, candidate(model) or parse_reference(model, "model"), variables
    return _NO_LABELS, *named_prompt(model, prompt, variables, headers)


def named_prompt(
    model: str, prompt: PromptObject | None, variables: dict[str, Any] | None, headers: dict[bytes, bytes]
) -> tuple[Reference | None, dict[str, Any]]:
    """All namings of a body and its headers, combined; and the variables. Raises ``malformed``, ``contradiction``."""
    variables = variables or {}
    reference: Reference | None = None
    param = "model"
    if "@" in model or "#" in model:
        reference = candidate(model)
    if prompt is not None:
        named = parse_reference(prompt.id, "prompt.id")
        if prompt.version is not None:
            named = narrow(
                named, parse_version(named.slug, str(prompt.version), "prompt.version"), "prompt.id", "prompt.version"
            )
        reference, param = (named if reference is None else narrow(reference, named, "model", "prompt")), "prompt"
        if prompt.variables:
            if variables and variables != prompt.variables:
                raise GatewayError(
                    CONTRADICTION,
                    "variables and prompt.variables are both given and differ; give one",
                    param="prompt.variables",
                )
            variables = prompt.variables
    if reference is None and variables and model and b"x-prompt" not in headers:
        reference = candidate(model) or parse_reference(model, "model")
    if _NAMING.isdisjoint(headers):
        return reference, variables
    header = _label(headers, b"x-prompt")
    if header is not None:
        named = parse_reference(header, "x-prompt")
        reference, param = (named if reference is None else narrow(reference, named, param, "x-prompt")), "x-prompt"
    if reference is None and not _PINS.isdisjoint(headers):
        reference = candidate(model) if model else None
    return pinned(reference, headers, param), variables


def candidate(model: str) -> Reference | None:
    """The reference that a model name would be, if it can be one."""
    known = _candidates.get(model)
    return known if known is not None or model in _candidates else _read_candidate(model)


def _read_candidate(model: str) -> Reference | None:
    try:
        reference = parse_reference(model, "model")
    except GatewayError:
        reference = None
    if len(_candidates) >= _REMEMBERED:
        _candidates.clear()
    _candidates[model] = reference
    return reference


def _label(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    if not value:
        return None
    if len(value) > MAX_LABEL:
        raise GatewayError(MALFORMED, f"{name.decode()}: longer than {MAX_LABEL} bytes", param=name.decode())
    try:
        return value.decode("utf-8").strip() or None
    except UnicodeDecodeError:
        raise GatewayError(MALFORMED, f"{name.decode()}: not valid UTF-8", param=name.decode()) from None


def labels(headers: dict[bytes, bytes]) -> Labels:
    """Session, unit and tags. Raises ``malformed`` naming the header."""
    return _NO_LABELS if _NAMING.isdisjoint(headers) else _labels(headers)


def _labels(headers: dict[bytes, bytes]) -> Labels:
    return Labels(_label(headers, b"x-session-id"), _label(headers, b"x-prompt-unit"), _tags(headers))


def check_names(model: str, user: str | None) -> None:
    """Bounds of what goes into records. Raises ``malformed`` naming the field."""
    if len(model) > MAX_MODEL:
        raise GatewayError(MALFORMED, f"model: longer than {MAX_MODEL} characters", param="model")
    if "\0" in model:
        raise _has_nul("model")
    if user and "\0" in user:
        raise _has_nul("user")


def _has_nul(name: str) -> GatewayError:
    return GatewayError(MALFORMED, f"{name}: must not contain a NUL character", param=name)


def _tags(headers: dict[bytes, bytes]) -> tuple[str, ...]:
    value = _label(headers, b"x-tags")
    if value is None:
        return ()
    tags = tuple(tag for tag in (part.strip() for part in value.split(",")) if tag)
    if len(tags) > MAX_TAGS:
        raise GatewayError(MALFORMED, f"x-tags: more than {MAX_TAGS} tags", param="x-tags")
    return tags
