"""``/prompts/{slug}/aliases/{alias}/split`` and ``.../promote``: an alias among several variants."""

from litestar import Controller, get, post, put
from litestar.params import FromPath, JSONBody

from gateway.control.aliases.schemas import AskedSplit, AskedVariant, Moved, Promote
from gateway.control.aliases.service import check_wait, settle
from gateway.control.inject import Actor, PromptSlug, Services, Tenant
from gateway.control.services import ControlServices
from gateway.control.tenancy import selected
from gateway.control.versions.content import checked
from gateway.core.documents import VariantSpec, VersionContent
from gateway.core.errors import GatewayError
from gateway.experiments.allocation import check
from gateway.experiments.overlay import overlay, overrides
from gateway.storage.postgres.rows import NewSplit, Split
from gateway.storage.postgres.splits import variant_of


class SplitController(Controller):
    """A split gives each unit (a user, a session) one of several variants, always the same one."""

    path = "/prompts/{slug:str}/aliases/{alias:str}"
    tags = ["aliases"]

    @get("/split", summary="Read what an alias is split into")
    async def read(self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, alias: FromPath[str]) -> Split:
        return await services.registry.get_split(tenant, prompt_slug, alias)

    @put(
        "/split",
        summary="Split an alias among variants",
        description="Publishes the versions it names. Over another split, only as many units move as the new weights ask for.",
    )
    async def split(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        alias: FromPath[str],
        data: JSONBody[AskedSplit],
        actor: Actor,
    ) -> Moved:
        check_wait(data)
        check([(asked.name, asked.weight) for asked in data.variants])
        variants = [await _variant(services, tenant, prompt_slug, i, asked) for i, asked in enumerate(data.variants)]
        asked = NewSplit(variants, data.salt, data.expected_version, data.expected_split)
        written = await services.registry.split(tenant, prompt_slug, alias, asked, message=data.message, actor=actor)
        return await settle(services, written, data)

    @post(
        "/promote",
        status_code=200,
        summary="End a split: serve one of its variants to all",
        description="A variant with a model, params or guardrails of its own becomes a new version first.",
    )
    async def promote(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        alias: FromPath[str],
        data: JSONBody[Promote],
        actor: Actor,
    ) -> Moved:
        check_wait(data)
        split = await services.registry.get_split(tenant, prompt_slug, alias)
        variant = variant_of(split, data.variant, f"{prompt_slug}@{alias}")
        content = None
        if overrides(variant):
            content = await checked(services, overlay(await _content(services, tenant, prompt_slug, variant.version), variant))
        written = await services.registry.promote(
            tenant,
            prompt_slug,
            alias,
            variant.name,
            content=content,
            expected_split=data.expected_split or split.id,
            message=data.message,
            actor=actor,
        )
        return await settle(services, written, data)


async def _variant(services: ControlServices, tenant: str, slug: str, index: int, asked: AskedVariant) -> VariantSpec:
    """What is asked, with its version as a number, after compiling what it will serve."""
    where = f"variants[{index}]"
    number = asked.version
    try:
        if isinstance(number, str):
            number = (await services.registry.get_version(tenant, selected(slug, number, "version"))).number
        spec = VariantSpec(asked.name, number, asked.weight, asked.model, asked.params or None, asked.guardrails)
        await checked(services, overlay(await _content(services, tenant, slug, number), spec))
    except GatewayError as error:
        raise GatewayError(
            error.kind, f"{where}: {error.detail}", param=f"{where}.{error.param}" if error.param else where
        ) from None
    return spec


async def _content(services: ControlServices, tenant: str, slug: str, version: int) -> VersionContent:
    stored = await services.registry.get_version(tenant, selected(slug, f":{version}", "version"))
    assert stored.content is not None, "only listings leave it out"
    return stored.content
