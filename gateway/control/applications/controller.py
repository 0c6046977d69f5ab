"""``/applications``."""

from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, JSONBody

from gateway.control.applications.schemas import CreatedApplication, NewApplication
from gateway.control.inject import Actor, Cursor, Limit, Services
from gateway.control.keys.controller import check_grace
from gateway.control.keys.schemas import CreatedKey, Regenerate
from gateway.control.listing import Listing
from gateway.core import keys
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.references import is_slug
from gateway.storage.postgres.rows import Application, ApplicationPatch

_AT_ONCE = Regenerate()


class ApplicationController(Controller):
    """Applications own prompts, keys and limits. Deleting archives: nothing is lost, and the keys stop opening at once."""

    path = "/applications"
    tags = ["applications"]

    @post(summary="Create an application with its first API key")
    async def create(self, services: Services, data: JSONBody[NewApplication], actor: Actor) -> CreatedApplication:
        if not is_slug(data.slug) or "/" in data.slug:
            raise GatewayError(MALFORMED, f"slug: {data.slug[:80]!r} is not an application name", param="slug")
        _check_limit(data.requests_per_minute)
        made = await services.registry.create_application(
            data.slug,
            name=data.name,
            description=data.description,
            default_model=data.default_model,
            requests_per_minute=data.requests_per_minute,
            store_responses=data.store_responses,
            actor=actor,
        )
        key = keys.make(services.random_bytes, services.peppers)
        stored = await services.registry.create_key(
            data.slug, digest=key.digest, pepper=key.pepper, public_id=key.public_id, name="first key", actor=actor
        )
        await services.announce(made)
        await services.announce(stored)
        return CreatedApplication.of(made.value, key.public_id, key.text)

    @get(summary="List applications")
    async def index(self, services: Services, cursor: Cursor = None, limit: Limit = 50) -> Listing[Application]:
        page = await services.registry.list_applications(after=cursor, limit=limit)
        return Listing(page.items, page.next)

    @get("/{application_slug:str}", summary="Read one application")
    async def read(self, services: Services, application_slug: FromPath[str]) -> Application:
        return await services.registry.get_application(application_slug)

    @put("/{application_slug:str}", summary="Change an application; absent fields stay")
    async def change(
        self, services: Services, application_slug: FromPath[str], data: JSONBody[ApplicationPatch], actor: Actor
    ) -> Application:
        if isinstance(data.requests_per_minute, int):
            _check_limit(data.requests_per_minute)
        written = await services.registry.update_application(application_slug, data, actor=actor)
        return await services.announce(written)

    @delete("/{application_slug:str}", status_code=200, summary="Archive an application")
    async def archive(self, services: Services, application_slug: FromPath[str], actor: Actor) -> Application:
        written = await services.registry.archive_application(application_slug, actor=actor)
        return await services.announce(written)

    @post("/{application_slug:str}/restore", status_code=200, summary="Bring an archived application back")
    async def restore(self, services: Services, application_slug: FromPath[str], actor: Actor) -> Application:
        written = await services.registry.restore_application(application_slug, actor=actor)
        return await services.announce(written)

    @post("/{application_slug:str}/regenerate-key", summary="A new key in place of all others")
    async def regenerate_key(
        self, services: Services, application_slug: FromPath[str], actor: Actor, data: JSONBody[Regenerate] = _AT_ONCE
    ) -> CreatedKey:
        check_grace(data)
        key = keys.make(services.random_bytes, services.peppers)
        written = await services.registry.regenerate_key(
            application_slug,
            digest=key.digest,
            pepper=key.pepper,
            public_id=key.public_id,
            name="regenerated",
            grace_s=data.grace_seconds,
            actor=actor,
        )
        return CreatedKey.of(await services.announce(written), key.text)


def _check_limit(requests_per_minute: int | None) -> None:
    if requests_per_minute is not None and requests_per_minute < 1:
        raise GatewayError(MALFORMED, "requests_per_minute: at least 1, or null for no limit", param="requests_per_minute")
