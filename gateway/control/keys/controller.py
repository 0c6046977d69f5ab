"""``/applications/{application_slug}/keys``."""

from datetime import timedelta

from litestar import Controller, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody

from gateway.control.inject import Actor, Services
from gateway.control.keys.schemas import CreatedKey, NewApiKey, Regenerate
from gateway.control.listing import Listing
from gateway.core import keys
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.grants import models_fault, prompts_fault, scopes_fault
from gateway.storage.postgres.rows import Key, KeyPatch

MAX_LIFETIME_S = 10 * 366 * 86_400
"""Ten years: longer is "never", which has its own spelling, and far enough from the end of datetime's range."""

_PLAIN = NewApiKey()
_AT_ONCE = Regenerate()


class KeyController(Controller):
    """API keys. The text of a key is in the answer that makes it, and nowhere else, ever."""

    path = "/applications/{application_slug:str}/keys"
    tags = ["keys"]

    @post(summary="Create an API key")
    async def create(
        self, services: Services, application_slug: FromPath[str], actor: Actor, data: JSONBody[NewApiKey] = _PLAIN
    ) -> CreatedKey:
        _check(data)
        lifetime = data.expires_in_seconds
        key = keys.make(services.random_bytes, services.peppers)
        written = await services.registry.create_key(
            application_slug,
            digest=key.digest,
            pepper=key.pepper,
            public_id=key.public_id,
            name=data.name,
            requests_per_minute=data.requests_per_minute,
            expires_at=None if lifetime is None else services.clock() + timedelta(seconds=lifetime),
            scopes=data.scopes,
            prompts=data.prompts,
            models=data.models,
            actor=actor,
        )
        return CreatedKey.of(await services.announce(written), key.text)

    @get(summary="List API keys")
    async def index(
        self, services: Services, application_slug: FromPath[str], include_revoked: FromQuery[bool] = False
    ) -> Listing[Key]:
        return Listing(await services.registry.list_keys(application_slug, include_revoked=include_revoked))

    @get("/{public_id:str}", summary="Read one API key")
    async def read(self, services: Services, application_slug: FromPath[str], public_id: FromPath[str]) -> Key:
        return await services.registry.get_key(application_slug, public_id)

    @put("/{public_id:str}", summary="Change an API key; absent fields stay")
    async def change(
        self,
        services: Services,
        application_slug: FromPath[str],
        public_id: FromPath[str],
        data: JSONBody[KeyPatch],
        actor: Actor,
    ) -> Key:
        _check(data)
        written = await services.registry.update_key(application_slug, public_id, data, actor=actor)
        return await services.announce(written)

    @post("/{public_id:str}/rotate", summary="A new API key with the rights of this one, which ends")
    async def rotate(
        self,
        services: Services,
        application_slug: FromPath[str],
        public_id: FromPath[str],
        actor: Actor,
        data: JSONBody[Regenerate] = _AT_ONCE,
    ) -> CreatedKey:
        check_grace(data)
        key = keys.make(services.random_bytes, services.peppers)
        written = await services.registry.rotate_key(
            application_slug,
            public_id,
            digest=key.digest,
            pepper=key.pepper,
            public_id=key.public_id,
            grace_s=data.grace_seconds,
            actor=actor,
        )
        return CreatedKey.of(await services.announce(written), key.text)

    @delete("/{public_id:str}", status_code=200, summary="Revoke an API key, at once and on every worker")
    async def revoke(self, services: Services, application_slug: FromPath[str], public_id: FromPath[str], actor: Actor) -> Key:
        written = await services.registry.revoke_key(application_slug, public_id, actor=actor)
        return await services.announce(written)


def check_grace(data: Regenerate) -> None:
    """Raises ``malformed``."""
    if not 0 <= data.grace_seconds <= MAX_LIFETIME_S:
        raise GatewayError(MALFORMED, f"grace_seconds: 0 to {MAX_LIFETIME_S}", param="grace_seconds")


def _check(data: NewApiKey | KeyPatch) -> None:
    rpm, lifetime = data.requests_per_minute, data.expires_in_seconds
    if isinstance(rpm, int) and rpm < 1:
        raise GatewayError(
            MALFORMED, "requests_per_minute: at least 1, or null for the application's", param="requests_per_minute"
        )
    if isinstance(lifetime, int) and not 1 <= lifetime <= MAX_LIFETIME_S:
        raise GatewayError(
            MALFORMED, f"expires_in_seconds: 1 to {MAX_LIFETIME_S}, or null for never", param="expires_in_seconds"
        )
    lists = (
        ("scopes", data.scopes, scopes_fault),
        ("prompts", data.prompts, prompts_fault),
        ("models", data.models, models_fault),
    )
    for name, given, fault_of in lists:
        fault = fault_of(given) if isinstance(given, list) else None
        if fault is not None:
            raise GatewayError(MALFORMED, f"{name}: {fault}", param=name)
