"""``/workers``."""

from litestar import Controller, get

from gateway.control.inject import Services
from gateway.control.listing import Listing
from gateway.storage.postgres.rows import Worker


class WorkerController(Controller):
    """Serving processes."""

    path = "/workers"
    tags = ["operations"]

    @get(summary="List live workers and the generation each has applied")
    async def index(self, services: Services) -> Listing[Worker]:
        return Listing(await services.registry.workers())
