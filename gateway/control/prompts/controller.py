"""``/prompts``."""

from typing import Annotated

from litestar import Controller, delete, get, post, put
from litestar.params import FromQuery, JSONBody, QueryParameter

from gateway.control.inject import Actor, Cursor, Limit, PromptSlug, Services, Tenant
from gateway.control.listing import Listing
from gateway.control.prompts.schemas import NewPrompt
from gateway.control.versions.content import checked
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.references import is_slug
from gateway.storage.postgres.rows import Prompt, PromptPatch

RESERVED = frozenset({"search"})
"""Paths below ``/prompts`` that mean something else."""


class PromptController(Controller):
    """Prompts. Deleting archives: versions and history stay, and the name stops resolving at once."""

    path = "/prompts"
    tags = ["prompts"]

    @post(summary="Create a prompt with its first version")
    async def create(self, services: Services, tenant: Tenant, data: JSONBody[NewPrompt], actor: Actor) -> Prompt:
        if not is_slug(data.slug):
            raise GatewayError(MALFORMED, f"slug: {data.slug[:80]!r} is not a prompt name", param="slug")
        if data.slug in RESERVED:
            raise GatewayError(MALFORMED, f"slug: {data.slug!r} is reserved", param="slug")
        content = await checked(services, data.resolved())
        written = await services.registry.create_prompt(
            tenant,
            data.slug,
            content,
            description=data.description,
            tags=data.tags,
            message=data.message,
            semver=data.semver,
            actor=actor,
        )
        return await services.announce(written)

    @get(summary="List prompts")
    async def index(
        self,
        services: Services,
        tenant: Tenant,
        q: Annotated[str | None, QueryParameter(description="Text in name, description or content.")] = None,
        tag: FromQuery[str | None] = None,
        folder: FromQuery[str | None] = None,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Listing[Prompt]:
        page = await services.registry.list_prompts(tenant, after=cursor, limit=limit, tag=tag, text=q, folder=folder)
        return Listing(page.items, page.next)

    @get("/search", summary="Find prompts by text")
    async def search(
        self,
        services: Services,
        tenant: Tenant,
        q: Annotated[str, QueryParameter(min_length=1, description="Text in name, description or content.")],
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> Listing[Prompt]:
        page = await services.registry.list_prompts(tenant, after=cursor, limit=limit, text=q)
        return Listing(page.items, page.next)

    @get("/{slug:str}", summary="Read one prompt")
    async def read(self, services: Services, tenant: Tenant, prompt_slug: PromptSlug) -> Prompt:
        return await services.registry.get_prompt(tenant, prompt_slug)

    @put("/{slug:str}", summary="Change what describes a prompt; absent fields stay, content changes by a new version")
    async def change(
        self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, data: JSONBody[PromptPatch], actor: Actor
    ) -> Prompt:
        written = await services.registry.update_prompt(tenant, prompt_slug, data, actor=actor)
        return await services.announce(written)

    @delete("/{slug:str}", status_code=200, summary="Archive a prompt")
    async def archive(self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, actor: Actor) -> Prompt:
        written = await services.registry.archive_prompt(tenant, prompt_slug, actor=actor)
        return await services.announce(written)

    @post("/{slug:str}/restore", status_code=200, summary="Bring an archived prompt back")
    async def restore(self, services: Services, tenant: Tenant, prompt_slug: PromptSlug, actor: Actor) -> Prompt:
        written = await services.registry.restore_prompt(tenant, prompt_slug, actor=actor)
        return await services.announce(written)
