"""``/applications/{slug}/guardrails``: what judges every call of an application."""

from litestar import Controller, get, put
from litestar.params import FromPath, JSONBody

from gateway.control.inject import Actor, Services
from gateway.control.versions.content import check_guardrails
from gateway.core.documents import Guardrails


class GuardrailsController(Controller):
    """One document, written as a whole; an empty one judges nothing. Workers learn of it like of a publish."""

    path = "/applications/{application_slug:str}/guardrails"
    tags = ["applications"]

    @get(summary="Read the guardrails of an application")
    async def read(self, services: Services, application_slug: FromPath[str]) -> Guardrails:
        return await services.registry.get_guardrails(application_slug)

    @put(summary="Replace the guardrails of an application")
    async def replace(
        self, services: Services, application_slug: FromPath[str], data: JSONBody[Guardrails], actor: Actor
    ) -> Guardrails:
        await check_guardrails(services, data)
        written = await services.registry.set_guardrails(application_slug, data, actor=actor)
        return await services.announce(written)
