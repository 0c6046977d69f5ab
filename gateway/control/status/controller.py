"""``/status``."""

from litestar import Controller, get

from gateway.control.inject import Services
from gateway.control.status.service import Status, examine


class StatusController(Controller):
    """What ``promptgate doctor`` asks."""

    path = "/status"
    tags = ["operations"]

    @get(summary="Check everything the installation stands on; 200 whatever is found")
    async def read(self, services: Services) -> Status:
        return await examine(services.probes)
