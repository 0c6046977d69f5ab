"""What callers send and get about versions."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.core.documents import Format, MessageTemplate, VersionContent
from gateway.core.errors import MALFORMED, GatewayError
from gateway.storage.postgres.rows import Version


class RequiredField(Struct, frozen=True, forbid_unknown_fields=True):
    """One variable, in the list form (coverage D05)."""

    name: str
    type: Literal["string", "number", "boolean", "array", "object"] = "string"
    required: bool = True
    description: str = ""
    default: Any = msgspec.UNSET


class ContentForm(Struct, frozen=True, forbid_unknown_fields=True):
    """Content in either form: our own object, or a template text with the fields around it (coverage D04 to D06)."""

    content: VersionContent | str
    """An object is the whole content; a text is the template of a user message."""
    system_prompt: str | None = None
    """With a text: the template of a system message before it."""
    required_fields: list[RequiredField] | None = None
    """With a text: its variables."""
    model_params: dict[str, Any] | None = None
    """With a text: ``params``."""
    format: Format | None = None
    """With a text: the template format."""

    def resolved(self) -> VersionContent:
        """The content that is meant. Raises ``malformed`` when the two forms are mixed."""
        if isinstance(self.content, VersionContent):
            for name in ("system_prompt", "required_fields", "model_params", "format"):
                if getattr(self, name) is not None:
                    raise GatewayError(MALFORMED, f"{name}: goes with a content that is a text; yours is an object", param=name)
            return self.content
        system = [] if self.system_prompt is None else [MessageTemplate("system", self.system_prompt)]
        return VersionContent(
            messages=[*system, MessageTemplate("user", self.content)],
            format=self.format or "jinja",
            variables=_contract(self.required_fields or []),
            params=self.model_params or {},
        )


def _contract(fields: list[RequiredField]) -> dict[str, Any]:
    """The list form as a JSON Schema."""
    if not fields:
        return {}
    properties: dict[str, Any] = {}
    for field in fields:
        optional = {"description": field.description} if field.description else {}
        default = {} if field.default is msgspec.UNSET else {"default": field.default}
        properties[field.name] = {"type": field.type, **optional, **default}
    required = [field.name for field in fields if field.required and field.default is msgspec.UNSET]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


class NewVersion(ContentForm, frozen=True, forbid_unknown_fields=True):
    """A version to be made."""

    message: str = ""
    """Why."""
    semver: str | None = None
    base_version: int | None = None
    """The newest version the writer had seen; another one by now is a conflict."""


class Revert(Struct, frozen=True, forbid_unknown_fields=True):
    """A version to be made anew."""

    message: str = ""


class MadeVersion(Struct, frozen=True):
    """A version after a write."""

    id: str
    slug: str
    number: int
    semver: str | None
    content_hash: str
    message: str
    created_by: str
    created: bool
    """False: the newest version had this content already, and nothing was written."""

    @classmethod
    def of(cls, version: Version, created: bool) -> "MadeVersion":
        """From what is stored."""
        return cls(
            version.id,
            version.slug,
            version.number,
            version.semver,
            version.content_hash,
            version.message,
            version.created_by,
            created,
        )
