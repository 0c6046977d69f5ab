"""Which application a request is about, and which prompt of it."""

from typing import Annotated

from litestar.params import HeaderParameter, PathParameter, QueryParameter

from gateway.control.inject import Services
from gateway.core.errors import CONTRADICTION, MALFORMED, NOT_FOUND, GatewayError
from gateway.core.references import Reference, is_alias, is_slug, parse_alias, parse_reference, parse_version

Slug = Annotated[
    str,
    PathParameter(description="The prompt's slug; a `/` in it is written `~` (or `%2F`): `billing~refund`."),
]


async def tenant(
    services: Services,
    application: Annotated[
        str | None, QueryParameter(description="The application's slug; optional while there is only one.")
    ] = None,
    x_application: Annotated[str | None, HeaderParameter(name="x-application", description="The same as a header.")] = None,
) -> str:
    """The application's slug: asked for, or the only one there is."""
    if application and x_application and application != x_application:
        raise GatewayError(
            CONTRADICTION,
            f"application names {application!r} but x-application names {x_application!r}; give one",
            param="application",
        )
    if named := application or x_application:
        return named
    found = (await services.registry.list_applications(limit=2)).items
    if not found:
        raise GatewayError(
            NOT_FOUND, "application: there is none yet; create one with POST /api/v1/applications", param="application"
        )
    if len(found) > 1:
        raise GatewayError(MALFORMED, "application: there are several; name one with ?application=<slug>", param="application")
    return found[0].slug


def prompt_slug(slug: Slug) -> str:
    """The slug that a path segment stands for."""
    named = slug.replace("~", "/")
    if not is_slug(named):
        raise GatewayError(MALFORMED, f"slug: {named[:80]!r} is not a prompt name", param="slug")
    return named


def selected(slug: str, text: str, param: str) -> Reference:
    """One version of ``slug``, by number, semver, alias, ``latest``, ``draft`` or ``#hash``; ``@`` or ``:`` may lead."""
    if text[:1] in {"@", ":", "#"}:
        return parse_reference(f"{slug}{text}", param)
    try:
        return parse_version(slug, text, param)
    except GatewayError:
        if not is_alias(text):
            raise GatewayError(
                MALFORMED, f"{param}: {text[:80]!r} is no version number, semver, alias or #hash", param=param
            ) from None
        return Reference(slug, alias=parse_alias(text, param))
