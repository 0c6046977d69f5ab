"""``/targets``."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import QueryParameter

from gateway.control.inject import Services
from gateway.control.listing import Listing
from gateway.control.targets.schemas import TargetState
from gateway.settings import Route, SettingsError
from gateway.settings_providers import read_routes

Owner = Annotated[
    str | None,
    QueryParameter(description="By slug: the targets of its own routes first, with its own keys; absent: the installation's."),
]


class TargetController(Controller):
    """Where calls can go. ``here`` and ``keys`` are what the answering worker knows; ``fleet`` is of all workers of its host."""

    path = "/targets"
    tags = ["operations"]

    @get(summary="List targets with their breakers, limits, latencies and keys")
    async def index(self, services: Services, application: Owner = None) -> Listing[TargetState]:
        if application is None:
            return Listing(services.targets(None, None))
        owner = await services.registry.get_application(application)
        own: list[Route] = []
        for route in await services.registry.get_routes(application):
            try:
                own += read_routes([route], services.providers, "route")
            except SettingsError:
                continue  # it leads nowhere any more; the log and its calls say so
        return Listing([*(services.targets(own, owner.id) if own else ()), *services.targets(None, owner.id)])
