"""``/credentials``."""

from typing import Annotated

from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from gateway.control.credentials.schemas import CredentialView, NewCredential, NewSecret, hint_of
from gateway.control.inject import Actor, Services
from gateway.control.listing import Listing
from gateway.control.services import ControlServices
from gateway.core.credentials import CredentialError
from gateway.core.errors import MALFORMED, NOT_CONFIGURED, GatewayError
from gateway.storage.postgres.credentials import Rewrapped
from gateway.storage.postgres.rows import Credential
from gateway.storage.vault import Vault

Owner = Annotated[str | None, QueryParameter(description="Only those of this application, by slug; absent: all.")]


class CredentialController(Controller):
    """Keys of provider accounts, encrypted in the database. Workers learn of a change like of a publish.

    An application's own key for a provider goes before the installation's, and that before the configuration's.
    """

    path = "/credentials"
    tags = ["credentials"]

    @get(summary="List the keys of provider accounts; their texts are never shown")
    async def index(self, services: Services, application: Owner = None) -> Listing[CredentialView]:
        found = await services.registry.list_credentials(application, everybody=application is None)
        return Listing([_view(stored, services.vault) for stored in found])

    @post(summary="Keep a key of a provider account")
    async def create(self, services: Services, data: JSONBody[NewCredential], actor: Actor) -> CredentialView:
        _check_key(services.vault)
        _check_provider(data.provider, services)
        written = await services.registry.create_credential(
            data.application,
            data.provider,
            data.name,
            hint_of(data.secret),
            lambda name, owner: services.vault.seal(name, owner, data.provider, data.secret),
            actor=actor,
        )
        return _view(await services.announce(written), services.vault)

    @put("/{credential_id:str}", summary="Replace a key of a provider account")
    async def replace(
        self, services: Services, credential_id: FromPath[str], data: JSONBody[NewSecret], actor: Actor
    ) -> CredentialView:
        _check_key(services.vault)
        written = await services.registry.replace_credential(
            credential_id,
            hint_of(data.secret),
            lambda old: services.vault.seal(old.id, old.owner, old.provider, data.secret),
            actor=actor,
        )
        return _view(await services.announce(written), services.vault)

    @delete("/{credential_id:str}", status_code=200, summary="Delete a key of a provider account")
    async def remove(self, services: Services, credential_id: FromPath[str], actor: Actor) -> CredentialView:
        written = await services.registry.delete_credential(credential_id, actor=actor)
        return _view(await services.announce(written), services.vault)

    @post("/rotate-key", status_code=200, summary="Encrypt all of them with the newest key of the configuration")
    async def rotate_key(self, services: Services, actor: Actor) -> Rewrapped:
        """Only the keys of the envelopes are encrypted anew. Those that do not open stay as they are, and are named."""
        _check_key(services.vault)
        written = await services.registry.rewrap_credentials(services.vault.rewrap, services.vault.key_id, actor=actor)
        return await services.announce(written)


def _check_key(vault: Vault) -> None:
    if vault.key_id is None:
        raise GatewayError(
            NOT_CONFIGURED,
            "no credentials can be stored: security.credentials_key is not set (PROMPTGATE_SECURITY_CREDENTIALS_KEY, 32 random bytes"
            " as base64, the same on every host)",
        )


def _check_provider(provider: str, services: ControlServices) -> None:
    known = [name for name, settings in services.providers.items() if settings.kind != "echo"]
    if provider not in known:
        raise GatewayError(
            MALFORMED, f"provider: {provider[:80]!r} is none of providers.toml's: {', '.join(known)}", param="provider"
        )


def _view(stored: Credential, vault: Vault) -> CredentialView:
    try:
        vault.open(stored.sealed)
    except CredentialError:
        return CredentialView.of(stored, opens=False)
    return CredentialView.of(stored, opens=True)
