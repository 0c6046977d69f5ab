"""``/prices``."""

from datetime import timedelta

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from gateway.control.calls.schemas import is_call_id
from gateway.control.inject import Actor, Limit, Services
from gateway.control.listing import Listing
from gateway.control.prices.schemas import Check, Report, Rerate, Table, Undo, Unpriced, read_place
from gateway.core.errors import MALFORMED, GatewayError
from gateway.pricing.check import Checked, checked, old, unsourced
from gateway.storage.postgres.prices import Run, Step, Undone

_FROM_THE_START = Undo()
_SERVED = Check()


class PriceController(Controller):
    """What calls cost, and what they should have cost."""

    path = "/prices"
    tags = ["prices"]

    @get(summary="Read which prices are served, and where they come from")
    async def index(self, services: Services) -> Table:
        return Table(services.prices.version, services.prices.sources)

    @post("/check", status_code=200, summary="Check a price file, or the one that is served, against the ledger")
    async def check(self, services: Services, data: JSONBody[Check] = _SERVED) -> Report:
        found = Checked(services.prices, []) if data.file is None else checked(data.file.encode())
        now = services.clock()
        since = now - timedelta(days=data.days)
        called = await services.money.unpriced(int(since.timestamp() * 1000), int(now.timestamp() * 1000) + 1)
        unpriced = [Unpriced.of(model, found.table) for model in called]
        if found.table is None:
            return Report(None, 0, found.problems, [], [], unpriced)
        day = (now - timedelta(days=data.older_than_days)).date().isoformat()
        sources = found.table.sources
        return Report(
            found.table.version, len(sources), found.problems, old(found.table, day), unsourced(found.table), unpriced
        )

    @get("/rerates", summary="List the runs that priced calls anew, newest first")
    async def runs(self, services: Services, limit: Limit = 50) -> Listing[Run]:
        return Listing(await services.money.runs(limit))

    @post("/rerates", status_code=200, summary="Price stored calls anew, one step; go on with run and next_cursor")
    async def rerate(self, services: Services, data: JSONBody[Rerate], actor: Actor) -> Step:
        run = None if data.run is None else _run_id(data.run)
        return await services.money.rerate(
            services.prices, data.scope(), actor, run=run, after=read_place(data.cursor), dry_run=data.dry_run
        )

    @post("/rerates/{run:str}/undo", status_code=200, summary="Take back a run, one step; go on with next_cursor")
    async def undo(self, services: Services, run: FromPath[str], data: JSONBody[Undo] = _FROM_THE_START) -> Undone:
        return await services.money.undo(_run_id(run), after=read_place(data.cursor))


def _run_id(text: str) -> str:
    if not is_call_id(text):
        raise GatewayError(MALFORMED, f"run: {text[:80]!r} is not the id of a run", param="run")
    return text
