"""``/applications/{application_slug}/keys``."""

from datetime import timedelta

from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from gateway.control.inject import Actor, Services
from gateway.control.keys.schemas import CreatedKey, NewApiKey
from gateway.control.listing import Listing
from gateway.core import keys
from gateway.core.errors import MALFORMED, GatewayError
from gateway.storage.postgres.rows import Key

MAX_LIFETIME_S = 10 * 366 * 86_400
"""Ten years: longer is "never", which has its own spelling, and far enough from the end of datetime's range."""

_PLAIN = NewApiKey()


class KeyController(Controller):
    """API keys. The text of a key is in the answer that makes it, and nowhere else, ever."""

    path = "/applications/{application_slug:str}/keys"
    tags = ["keys"]

    @post(summary="Create an API key")
    async def create(
        self, services: Services, application_slug: FromPath[str], actor: Actor, data: JSONBody[NewApiKey] = _PLAIN
    ) -> CreatedKey:
        if data.requests_per_minute is not None and data.requests_per_minute < 1:
            raise GatewayError(
                MALFORMED, "requests_per_minute: at least 1, or null for the application's", param="requests_per_minute"
            )
        lifetime = data.expires_in_seconds
        if lifetime is not None and not 1 <= lifetime <= MAX_LIFETIME_S:
            raise GatewayError(
                MALFORMED, f"expires_in_seconds: 1 to {MAX_LIFETIME_S}, or null for never", param="expires_in_seconds"
            )
        key = keys.make(services.random_bytes)
        written = await services.registry.create_key(
            application_slug,
            digest=key.digest,
            public_id=key.public_id,
            name=data.name,
            requests_per_minute=data.requests_per_minute,
            expires_at=None if lifetime is None else services.clock() + timedelta(seconds=lifetime),
            actor=actor,
        )
        await services.announce(written)
        return CreatedKey.of(written.value, key.text)

    @get(summary="List API keys")
    async def index(
        self, services: Services, application_slug: FromPath[str], include_revoked: FromQuery[bool] = False
    ) -> Listing[Key]:
        return Listing(await services.registry.list_keys(application_slug, include_revoked=include_revoked))

    @delete("/{public_id:str}", status_code=200, summary="Revoke an API key, at once and on every worker")
    async def revoke(self, services: Services, application_slug: FromPath[str], public_id: FromPath[str], actor: Actor) -> Key:
        written = await services.registry.revoke_key(application_slug, public_id, actor=actor)
        await services.announce(written)
        return written.value
