"""Where a forwarded call goes: to where its object lives, to where its model is served, else to the pass-through account."""

from msgspec import Struct, structs

from gateway.core.errors import NOT_CONFIGURED, NOT_FOUND, GatewayError
from gateway.core.forward import BATCHES, FILES
from gateway.core.grants import Grant
from gateway.core.journal import Journal
from gateway.core.objects import UpstreamObjects
from gateway.core.requests import Caller
from gateway.dialects.forwarded import Body
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.route import plan_of, table_of
from gateway.pipeline.services import Services
from gateway.routing.policy import Candidate
from gateway.routing.table import Plan, Stop


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


async def place(errand: Errand, caller: Caller, body: Body, journal: Journal, services: Services) -> Plan:
    """Where the call may go.

    Raises ``not_found``, ``unknown_model``, ``not_configured``, ``forbidden``, ``store_unavailable``.
    """
    if caller.grant is not None:
        _check(errand, body.request.model, caller.grant)
    object_id, param = errand.object_id, "id"
    if body.input_file_id:
        object_id, param = body.input_file_id, "input_file_id"
    if object_id:
        return await _home(errand.door, object_id, param, caller, services)
    model = body.request.model
    table = table_of(caller, services)
    if not model:
        return account_plan(errand.door, table.passthrough, "", caller, services)
    plan = _able(plan_of(Recipe(None, model, {}), body.request, journal, services), errand.door, services)
    if plan is not None:
        return plan.drawn(services.clock(), services.random) if plan.groups else plan
    if table.lists(model) or table.passthrough is None:
        raise GatewayError(
            NOT_CONFIGURED, f"no provider behind the model {model[:100]!r} serves /v1/{errand.door}", param="model"
        )
    # Only a wildcard has led here, to somebody who has no such door.
    return account_plan(errand.door, table.passthrough, model, caller, services)


def _able(plan: Plan, door: str, services: Services) -> Plan | None:
    """The plan without the targets that have no such door; None when nobody is left."""

    def serving(stops: tuple[Stop, ...]) -> tuple[Stop, ...]:
        return tuple([stop for stop in stops if _serves(stop.account.provider, door, services)])

    stops = serving(plan.stops)
    if len(stops) == len(plan.stops):
        return plan
    if not stops:
        return None
    attempts = plan.attempts if plan.policy.attempts else len(stops)
    return structs.replace(plan, stops=stops, attempts=attempts, groups=tuple(map(serving, plan.groups)))


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


async def _home(door: str, object_id: str, param: str, caller: Caller, services: Services) -> Plan:
    provider = await owners(services).provider_of(caller.application_id, object_id)
    if provider is None:
        what = "batch" if object_id.startswith("batch") else "file"
        raise GatewayError(NOT_FOUND, f"{param}: no {what} {object_id[:100]!r} was made by this application", param=param)
    return account_plan(door, provider, "", caller, services)


def account_plan(door: str, provider: str | None, model: str, caller: Caller, services: Services) -> Plan:
    """To this account, whatever its routes say. Raises ``not_configured`` for one that has no such door."""
    known = services.providers.get(provider) if provider is not None else None
    if provider is None or known is None or known.account is None or not _serves(provider, door, services):
        raise GatewayError(NOT_CONFIGURED, f"no provider is configured that serves /v1/{door}")
    account = structs.replace(known.account, model=model) if model else known.account
    return table_of(caller, services).direct(Candidate(account, known.account_keys), f"/v1/{door}")


def _serves(provider: str, door: str, services: Services) -> bool:
    forwarder = services.providers[provider].forwarder
    return forwarder is not None and door in forwarder.doors
