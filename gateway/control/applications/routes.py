"""``/applications/{slug}/routes``: where an application's calls go."""

from typing import Annotated, Any

from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from gateway.control.inject import Actor, Services
from gateway.control.services import ControlServices
from gateway.core.errors import MALFORMED, GatewayError
from gateway.settings import SettingsError
from gateway.settings_providers import read_routes

MAX_ROUTES = 100
MAX_NAMES = 100
"""Names and patterns, and targets, of one route."""
MAX_NAME = 200
"""Characters of a model's name or a pattern. All three together bound the document, which travels with every API key."""


class RoutesBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The routes of an application, first match wins; what none of them matches goes by the installation's."""

    routes: Annotated[list[dict[str, Any]], Meta(max_length=MAX_ROUTES)]
    """In the grammar of `[[routes]]` in `providers.toml`."""


class RoutesController(Controller):
    """One document, written as a whole. Workers learn of it like of a publish."""

    path = "/applications/{application_slug:str}/routes"
    tags = ["applications"]

    @get(summary="Read the routes of an application")
    async def read(self, services: Services, application_slug: FromPath[str]) -> RoutesBody:
        return RoutesBody(await services.registry.get_routes(application_slug))

    @put(summary="Replace the routes of an application")
    async def replace(
        self, services: Services, application_slug: FromPath[str], data: JSONBody[RoutesBody], actor: Actor
    ) -> RoutesBody:
        _check(data, services)
        return await _write(services, application_slug, data.routes, actor)

    @post("/check", status_code=200, summary="Judge routes without storing them")
    async def check(self, services: Services, application_slug: FromPath[str], data: JSONBody[RoutesBody]) -> RoutesBody:
        await services.registry.get_application(application_slug)
        _check(data, services)
        return data

    @delete(status_code=200, summary="Take the routes of an application away; the installation's alone hold then")
    async def remove(self, services: Services, application_slug: FromPath[str], actor: Actor) -> RoutesBody:
        return await _write(services, application_slug, [], actor)


async def _write(services: ControlServices, application: str, routes: list[dict[str, Any]], actor: str) -> RoutesBody:
    written = await services.registry.set_routes(application, routes, actor=actor)
    return RoutesBody(await services.announce(written))


def _check(body: RoutesBody, services: ControlServices) -> None:
    """Raises ``malformed`` naming the route and the key that is wrong."""
    try:
        routes = read_routes(body.routes, services.providers, "[[routes]]")
    except SettingsError as error:
        raise GatewayError(MALFORMED, str(error), param="routes") from None
    for number, route in enumerate(routes, 1):
        place = f"[[routes]] number {number}"
        if max(len(route.models), len(route.targets), len(route.tags or ())) > MAX_NAMES:
            raise GatewayError(MALFORMED, f"{place}: at most {MAX_NAMES} models, targets and tags", param="routes")
        names = (*route.models, *(target.model for target in route.targets), *(route.tags or ()))
        if any(len(name) > MAX_NAME or not name.isprintable() for name in names):
            raise GatewayError(
                MALFORMED, f"{place}: names have at most {MAX_NAME} characters, all of them printable", param="routes"
            )
        if "" in route.models:
            raise GatewayError(MALFORMED, f"{place}: models has an empty entry", param="routes")
