"""``/prompts/{slug}/versions``, ``/prompts/{slug}/diff``."""

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.control.aliases.schemas import Moved, Publish
from gateway.control.aliases.service import check_wait, settle
from gateway.control.inject import Actor, Cursor, Limit, PromptSlug, Services, Tenant
from gateway.control.listing import Listing
from gateway.control.tenancy import selected
from gateway.control.versions.content import checked
from gateway.control.versions.diff import VersionDiff, compare
from gateway.control.versions.schemas import MadeVersion, NewVersion, Revert
from gateway.core.documents import VersionContent
from gateway.storage.postgres.rows import Version, Written

_TO_PRODUCTION = Publish()
_NO_MESSAGE = Revert()


class VersionController(Controller):
    """Versions never change. A path names one by number, semver, alias, ``latest``, ``draft`` (the newest) or ``%23<hash>``."""

    path = "/prompts/{slug:str}"
    tags = ["versions"]

    @post(
        "/versions", summary="Add a version", description="Content equal to the newest version's answers 200 and that version."
    )
    async def create(
        self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, data: JSONBody[NewVersion], actor: Actor
    ) -> Response[MadeVersion]:
        content = await checked(services, data.resolved())
        written = await services.registry.create_version(
            tenant,
            prompt_slug,
            content,
            base_version=data.base_version,
            message=data.message,
            semver=data.semver,
            actor=actor,
        )
        return await _made(services, written)

    @get("/versions", summary="List versions, newest first, without their content")
    async def index(
        self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, cursor: Cursor = None, limit: Limit = 50
    ) -> Listing[Version]:
        page = await services.registry.list_versions(tenant, prompt_slug, after=cursor, limit=limit)
        return Listing(page.items, page.next)

    @get("/versions/{version:str}", summary="Read one version")
    async def read(self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, version: FromPath[str]) -> Version:
        return await services.registry.get_version(tenant, selected(prompt_slug, version, "version"))

    @post("/versions/{version:str}/publish", status_code=200, summary="Publish a version and point an alias at it")
    async def publish(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        version: FromPath[str],
        actor: Actor,
        data: JSONBody[Publish] = _TO_PRODUCTION,
    ) -> Moved:
        check_wait(data)
        stored = await services.registry.get_version(tenant, selected(prompt_slug, version, "version"))
        await checked(services, _content(stored))
        written = await services.registry.publish(
            tenant,
            prompt_slug,
            stored.number,
            alias=data.alias,
            expected_version=data.expected_version,
            message=data.message,
            actor=actor,
        )
        return await settle(services, written, data)

    @post("/versions/{version:str}/revert", summary="Add a version with the content of an old one")
    async def revert(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        version: FromPath[str],
        actor: Actor,
        data: JSONBody[Revert] = _NO_MESSAGE,
    ) -> Response[MadeVersion]:
        stored = await services.registry.get_version(tenant, selected(prompt_slug, version, "version"))
        await checked(services, _content(stored))
        written = await services.registry.revert(tenant, prompt_slug, stored.number, message=data.message, actor=actor)
        return await _made(services, written)

    @get("/diff", summary="What changed from one version to another")
    async def diff(
        self,
        services: Services,
        tenant: Tenant,
        prompt_slug: PromptSlug,
        before: Annotated[str, QueryParameter(name="from", description="A version, as in the path of one.")],
        after: Annotated[str, QueryParameter(name="to", description="A version, as in the path of one.")],
    ) -> VersionDiff:
        old = await services.registry.get_version(tenant, selected(prompt_slug, before, "from"))
        new = await services.registry.get_version(tenant, selected(prompt_slug, after, "to"))
        return compare(_content(old), _content(new), (old.number, new.number))


def _content(version: Version) -> VersionContent:
    assert version.content is not None, "only listings leave it out"
    return version.content


async def _made(services: Services, written: Written[Version]) -> Response[MadeVersion]:
    await services.announce(written)
    return Response(MadeVersion.of(written.value, written.created), status_code=201 if written.created else 200)
