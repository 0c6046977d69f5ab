"""What serving processes have applied (proof of propagation), and the audit chain."""

import asyncio

from gateway.storage.postgres.pool import connected
from gateway.storage.postgres.rows import AuditEntry, Page, Worker
from gateway.storage.postgres.writing import GENESIS, Store, before, clamp, link, page, struct
from gateway.storage.sql.statements import load

_SQL = load("records.sql")

POLL_S = 0.005
"""Between two looks at the workers: well under the 100 ms that propagation aims at; a query takes a tenth of a millisecond."""
STRETCH = 1000
"""Audit entries verified per query."""


class Workers(Store):
    """The part of the registry that is about serving processes."""

    async def report_worker(self, worker_id: str, *, host: str, pid: int, slot: int, generation: int) -> None:
        """A worker is alive and has applied ``generation``."""
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["report_worker"], worker_id, host, pid, slot, generation)

    async def forget_worker(self, worker_id: str) -> None:
        """A worker ends; nobody waits for it any more."""
        async with connected(self._pool) as connection:
            await connection.execute(_SQL["forget_worker"], worker_id)

    async def workers(self) -> list[Worker]:
        """Those that reported lately, by host and slot."""
        async with connected(self._pool) as connection:
            return [struct(row, Worker) for row in await connection.fetch(_SQL["live_workers"], self._live_s)]

    async def wait_for_generation(self, generation: int, *, timeout_s: float = 5.0) -> list[Worker]:
        """Wait until every live worker has applied ``generation``; the workers that had not at the time-out."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while True:
            lagging = [worker for worker in await self.workers() if worker.generation < generation]
            if not lagging or loop.time() >= end:
                return lagging
            await asyncio.sleep(POLL_S)


class Audit(Store):
    """The part of the registry that is about its own record."""

    async def audit(self, *, after: str | None = None, limit: int = 50) -> Page[AuditEntry]:
        """Newest first."""
        limit = clamp(limit)
        async with connected(self._pool) as connection:
            return page(await connection.fetch(_SQL["audit_page"], before(after), limit + 1), AuditEntry, limit, "seq")

    async def verify_audit(self) -> int | None:
        """The first entry that does not follow from what is stored before it; None when the whole chain holds."""
        async with connected(self._pool) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            head = await connection.fetchrow(_SQL["audit_head"])
            assert head is not None
            seq, previous = 0, GENESIS
            while rows := await connection.fetch(_SQL["audit_stretch"], seq, STRETCH):
                for row in rows:
                    seq += 1
                    fields = (row["actor"], row["action"], row["object"], str(row["application_id"]), row["detail"])
                    previous = link(previous, row["seq"], row["at"].isoformat(), *fields)
                    if row["seq"] != seq or row["hash"] != previous:
                        return seq
        return None if (seq, previous) == (head["audit_seq"], head["audit_hash"]) else seq + 1
