"""The operator's side of ``POST /api/v1/test-prompt``, which the data plane answers."""

import hmac

from gateway.control.services import ControlServices
from gateway.control.tenancy import tenant
from gateway.core.documents import KeyDocument, ReleaseDocument
from gateway.core.references import Reference


class RegistryWorkbench:
    """The ``Workbench`` of the registry and the admin token. An empty token lets in nobody."""

    def __init__(self, services: ControlServices, admin_token: str) -> None:
        self._services = services
        self._token = admin_token.encode()

    def admits(self, credential: bytes) -> bool:
        """Whether this is the admin token; compared in constant time."""
        return bool(self._token) and hmac.compare_digest(credential, self._token)

    async def caller(self, application: str | None) -> KeyDocument:
        """Who an operator acts for: the named application, or the only one there is."""
        registry = self._services.registry
        found = await registry.get_application(await tenant(self._services, application))
        return KeyDocument(
            "",
            found.id,
            found.slug,
            "admin",
            default_model=found.default_model,
            guardrails=await registry.get_guardrails(found.id),
            routes=await registry.get_routes(found.id) or None,
            credentials=[stored.sealed for stored in await registry.list_credentials(found.id)],
        )

    async def version(self, application: str, reference: Reference) -> ReleaseDocument:
        """A stored version, published or not."""
        stored = await self._services.registry.get_version(application, reference)
        found = await self._services.registry.get_application(application)
        assert stored.content is not None, "only listings leave it out"
        return ReleaseDocument(
            found.id, stored.prompt_id, stored.slug, reference.selector, stored.number, stored.content, stored.content_hash, 0
        )
