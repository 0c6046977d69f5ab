"""``/prompts/{slug}/aliases``."""

from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody

from gateway.control.aliases.schemas import Moved, Rollback, SetAlias, Wait
from gateway.control.aliases.service import check_wait, settle
from gateway.control.inject import Actor, Cursor, Limit, PromptSlug, Services, Tenant
from gateway.control.listing import Listing
from gateway.control.tenancy import selected
from gateway.core.errors import MALFORMED, GatewayError
from gateway.storage.postgres.rows import Alias, AliasMove

_ONE_BACK = Rollback()


class AliasController(Controller):
    """Aliases are what callers name; each keeps the history of all its moves."""

    path = "/prompts/{slug:str}/aliases"
    tags = ["aliases"]

    @get(summary="List where the aliases point")
    async def index(self, services: Services, tenant: Tenant, prompt_slug: PromptSlug) -> Listing[Alias]:
        return Listing(await services.registry.list_aliases(tenant, prompt_slug))

    @put("/{alias:str}", summary="Point an alias at a published version, or at a split it had")
    async def point(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        alias: FromPath[str],
        data: JSONBody[SetAlias],
        actor: Actor,
    ) -> Moved:
        check_wait(data)
        number = data.version
        if (number is None) == (data.split is None):
            raise GatewayError(MALFORMED, "version or split: give one of the two", param="version")
        if data.split is not None:
            written = await services.registry.set_split(
                tenant,
                prompt_slug,
                alias,
                data.split,
                expected_version=data.expected_version,
                message=data.message,
                actor=actor,
            )
            return await settle(services, written, data)
        assert number is not None
        if isinstance(number, str):
            number = (await services.registry.get_version(tenant, selected(prompt_slug, number, "version"))).number
        written = await services.registry.set_alias(
            tenant,
            prompt_slug,
            alias,
            number,
            expected_version=data.expected_version,
            message=data.message,
            actor=actor,
        )
        return await settle(services, written, data)

    @delete("/{alias:str}", status_code=200, summary="Remove an alias")
    async def remove(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        alias: FromPath[str],
        actor: Actor,
        expected_version: FromQuery[int | None] = None,
        message: FromQuery[str] = "",
    ) -> Moved:
        written = await services.registry.delete_alias(
            tenant, prompt_slug, alias, expected_version=expected_version, message=message, actor=actor
        )
        return await settle(services, written, Wait())

    @get("/{alias:str}/history", summary="List the moves of an alias, newest first")
    async def history(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        alias: FromPath[str],
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Listing[AliasMove]:
        page = await services.registry.alias_history(tenant, prompt_slug, alias, after=cursor, limit=limit)
        return Listing(page.items, page.next)

    @post("/{alias:str}/rollback", status_code=200, summary="Point an alias back at what it had before")
    async def rollback(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        alias: FromPath[str],
        actor: Actor,
        data: JSONBody[Rollback] = _ONE_BACK,
    ) -> Moved:
        check_wait(data)
        written = await services.registry.rollback(
            tenant, prompt_slug, alias=alias, expected_version=data.expected_version, message=data.message, actor=actor
        )
        return await settle(services, written, data)
