"""Where a forwarded call goes: to where its object lives, to where its model is served, else to the pass-through account."""

from msgspec import Struct, structs

from gateway.core.errors import NOT_CONFIGURED, NOT_FOUND, GatewayError
from gateway.core.forward import BATCHES, FILES
from gateway.core.grants import Grant
from gateway.core.objects import UpstreamObjects
from gateway.core.requests import Caller
from gateway.core.upstream import Target
from gateway.dialects.forwarded import Body
from gateway.pipeline.route import table_of
from gateway.pipeline.services import Services
from gateway.routing.policy import Candidate


class Errand(Struct, frozen=True):
    """What a route of the forwarding doors does."""

    door: str
    method: bytes
    path: str
    """At the provider, without the query."""
    object_id: str = ""
    """The file or batch that the path names: its owner alone gets through."""
    makes: bool = False
    """Whether the answer is a new object, the caller's from then on; or an object with others that it made."""
    lists: bool = False
    """Whether the answer lists objects, the caller's alone of which are shown."""
    removes: bool = False
    """Whether the object is gone afterwards."""
    streams: bool = False
    """Whether the answer is content, passed on as it comes whatever its type."""


async def place(errand: Errand, caller: Caller, body: Body, services: Services) -> tuple[Target, ...]:
    """Never empty. Raises ``not_found``, ``unknown_model``, ``not_configured``, ``forbidden``, ``store_unavailable``."""
    if caller.grant is not None:
        _check(errand, body.request.model, caller.grant)
    object_id, param = errand.object_id, "id"
    if body.input_file_id:
        object_id, param = body.input_file_id, "input_file_id"
    if object_id:
        return (await _home(errand.door, object_id, param, caller, services),)
    model = body.request.model
    if not model:
        return (_account(errand.door, services.passthrough, "", caller, services),)
    table = table_of(caller, services)
    targets = tuple(t for t in table.plan(model).targets if _serves(t.provider, errand.door, services))
    if targets:
        return targets
    if table.lists(model) or services.passthrough is None:
        raise GatewayError(
            NOT_CONFIGURED, f"no provider behind the model {model[:100]!r} serves /v1/{errand.door}", param="model"
        )
    # Only a wildcard has led here, to somebody who has no such door.
    return (_account(errand.door, services.passthrough, model, caller, services),)


def _check(errand: Errand, model: str, grant: Grant) -> None:
    """Hold a restricted key to its list of models. A call that names none would get one that the provider chooses."""
    if errand.door in {FILES, BATCHES}:
        if errand.door == BATCHES and errand.makes and not errand.object_id and grant.lists_models:
            raise grant.refused("may not make batches: it is restricted to some models, and a batch names its own in a file")
        return
    grant.check_model(model)


def owners(services: Services) -> UpstreamObjects:
    """The book of who made what. Raises ``not_configured``."""
    if services.objects is None:
        raise GatewayError(NOT_CONFIGURED, "nothing keeps whose the files and batches at providers are")
    return services.objects


async def _home(door: str, object_id: str, param: str, caller: Caller, services: Services) -> Target:
    provider = await owners(services).provider_of(caller.application_id, object_id)
    if provider is None:
        what = "batch" if object_id.startswith("batch") else "file"
        raise GatewayError(NOT_FOUND, f"{param}: no {what} {object_id[:100]!r} was made by this application", param=param)
    return _account(door, provider, "", caller, services)


def _account(door: str, provider: str | None, model: str, caller: Caller, services: Services) -> Target:
    known = services.providers.get(provider) if provider is not None else None
    if provider is None or known is None or known.account is None or not _serves(provider, door, services):
        raise GatewayError(NOT_CONFIGURED, f"no provider is configured that serves /v1/{door}")
    account = structs.replace(known.account, model=model) if model else known.account
    plan = table_of(caller, services).direct(Candidate(account, known.account_keys), f"/v1/{door}")
    return plan.stops[0].target


def _serves(provider: str, door: str, services: Services) -> bool:
    forwarder = services.providers[provider].forwarder
    return forwarder is not None and door in forwarder.doors
