"""What a dead worker left: its final rows, and a row for every call that it did not finish (promise N5)."""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path

from msgspec import MsgspecError

from gateway.core.ledger import Bill, Ending, Intent, LedgerRow, State, row_of
from gateway.storage.ledger.folder import SpoolFolder
from gateway.storage.ledger.former import decode_former_intent, decode_former_row
from gateway.storage.ledger.frames import FIRST, FORMER_MAGIC, INTENT, MAGIC, Frame, TornRecordError, frame_at
from gateway.storage.ledger.records import decode_final, decode_intent
from gateway.storage.ledger.segment import segment_paths

Price = Callable[[Intent], tuple[int, str] | None]
"""(nano-dollars, price version) for the estimated input of a call, or None when its model has no price."""

CUT_SHORT = 499
"""The status of an interrupted call: its connection died with the worker, so whatever was sent was not a complete answer."""


def _decode_row(body: bytes) -> LedgerRow:
    return row_of(*decode_final(body))


_READERS = {MAGIC: (decode_intent, _decode_row), FORMER_MAGIC: (decode_former_intent, decode_former_row)}
"""By what leads the segment: how its intents and its final records are read."""


class DeadSpool:
    """The spool of a worker that is no more, read once from its start; nothing is deleted before all of it is committed."""

    def __init__(self, folder: SpoolFolder, price: Price | None = None) -> None:
        self.unreadable: list[bytes] = []
        """Records that are intact but do not decode: a defect of ours, kept for the dead letters."""
        self.exhausted = False
        self.damaged = False
        """A record was torn elsewhere than at the very end: the disk's doing, not a crash's."""
        self._folder = folder
        self._price = price
        self._rows = self._read()
        self.bytes = sum(path.stat().st_size for path in segment_paths(folder.path))

    def take(self, limit: int) -> list[LedgerRow]:
        """The next rows, at most ``limit``: final ones in order, then the interrupted ones. Empty at the end."""
        rows = list(islice(self._rows, limit))
        self.exhausted = len(rows) < limit
        return rows

    def rewind(self) -> None:
        """Something went wrong with what was taken: start again."""
        self._rows = self._read()
        self.unreadable.clear()
        self.exhausted = False

    def release(self) -> None:
        """What was taken is committed. Once that is everything, the folder goes (a damaged one is set aside instead)."""
        if not self.exhausted:
            return
        self.bytes = 0
        if self.damaged:
            self._folder.set_aside()
        else:
            self._folder.remove()

    def abandon(self) -> None:
        """Leave it to another worker."""
        self._folder.release()

    def _read(self) -> Iterator[LedgerRow]:
        shipped = self._folder.shipped()
        pending: dict[tuple[str, int], Intent] = {}
        torn = False
        for path in segment_paths(self._folder.path):
            number = int(path.stem)
            for magic, frame in _frames(path):
                if frame is None:
                    torn = True
                    continue
                read_intent, read_row = _READERS[magic]
                self.damaged |= torn
                try:
                    if frame.kind == INTENT:
                        intent = read_intent(frame.body)
                        pending[intent.call_id, intent.attempt] = intent
                        continue
                    row = read_row(frame.body)
                except MsgspecError:
                    self.unreadable.append(frame.body)
                    continue
                pending.pop((row.call_id, row.attempt), None)
                if (number, frame.end) > shipped:
                    yield row
        for intent in pending.values():
            yield interrupted(intent, self._price)


def _frames(path: Path) -> Iterator[tuple[bytes, Frame | None]]:
    """The records of one segment, each with what leads the segment; the last is None if it ends in a torn one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size < FIRST:
            return
        with mmap(descriptor, size, access=ACCESS_READ) as memory:
            magic = memory[:FIRST]
            if magic not in _READERS:
                return
            offset = FIRST
            try:
                while (frame := frame_at(memory, offset, size)) is not None:
                    yield magic, frame
                    offset = frame.end
            except TornRecordError:
                yield magic, None
    finally:
        os.close(descriptor)


def interrupted(intent: Intent, price: Price | None = None) -> LedgerRow:
    """The row of a call whose worker died in the middle: its input is billed by estimate, its output is unknown.

    Latency is unknown too; the column is not, so it says 0.
    """
    priced = price(intent) if price is not None else None
    cost, version = priced or (None, None)
    ending = Ending(
        outcome="interrupted",
        status=CUT_SHORT,
        finish_reason=None,
        usage_source="estimated",
        latency_us=0,
        first_byte_us=None,
        upstream_us=None,
        attempts=max(intent.attempt, 1),
        guard=None,
        error="the worker that served this call ended before the call did",
        verdicts=[],
        counts=None,
        bill=Bill(cost, "unpriced" if price is not None and priced is None else "estimated", version),
    )
    row = row_of(intent, ending)
    row.state, row.verdicts, row.input_tokens = State.INTERRUPTED, None, intent.estimated_input_tokens
    return row
