"""What the OpenAPI page needs to be told: how to get in, and the shape of a version's content."""

from typing import Any

import msgspec
from litestar.openapi.spec import Components, Schema, SecurityScheme
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from gateway.core.documents import Guardrails, VersionContent

SCHEME = "AdminToken"
COMPONENTS = Components(security_schemes={SCHEME: SecurityScheme(type="http", scheme="bearer")})
"""For the application's OpenAPI configuration."""

_TYPES = (VersionContent, Guardrails)


class ContentSchema(OpenAPISchemaPlugin):
    """For the application's ``plugins``. Litestar's own reading of structs hashes every default, and these hold lists."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Whether Litestar should leave a type to this plugin."""
        return any(value is known for known in _TYPES)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        """The schema of one of the two types, as a component."""
        hints = field_definition.get_type_hints(include_extras=True)
        fields = msgspec.structs.fields(field_definition.annotation)
        made: Schema = schema_creator.create_component_schema(
            field_definition,
            required=[field.encode_name for field in fields if field.required],
            property_fields={
                field.encode_name: FieldDefinition.from_annotation(hints[field.name], name=field.encode_name)
                for field in fields
            },
        )
        return made
