"""The spool: what a worker writes down about its calls, before the store has it.

Theory of operation. Records are appended to memory-mapped segments with plain stores (:mod:`.frames`, :mod:`.segment`); no
system call, so an append costs a microsecond and survives ``kill -9``. A thread allocates the next segment ahead of time, and
removes old ones. The reader follows: ``take`` hands out final rows in order; ``release`` forgets those taken, once they are
committed, and ``rewind`` has them handed out again. The newest rows are also kept in memory, so that in good times nothing is
read back; a reader that falls behind reads the segments until it has caught up.

``intend`` promises that the final row will have room. The books for that are one number, ``_free``:

    room      what allocated segments can still hold; each counts as full MAX_RECORD bytes before its end, so records of any
              sizes fit in any order
    reserved  for every open intent the most that its final row can need
    floor     kept back for rows without an intent (refused calls) and for copies of open intents
    _free  =  room - reserved - floor

An intent needs ``_free >= its own size + reservation``; a final row gives back what it did not use. An intent whose call is
still open when its segment is due for removal is copied to the end, so a call of ten minutes does not pin gigabytes.

With ``reserve_bytes`` (policy ``account-only``) the last spare segments are a reserve, on the disk from the start and not part of
``room``. When room runs out they are lent to it one by one, and while any is lent records are written in short form (:mod:`.short`);
calls are refused only when the reserve is used up too. New segments fill the reserve again before they make room.

Limits: the promise holds for one process and one thread; after a power loss only with ``fsync="group"``.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Literal

from msgspec import MsgspecError, Struct

from gateway.core.errors import LEDGER_FULL, GatewayError
from gateway.core.ledger import Ending, Intent
from gateway.storage.ledger.folder import SpoolFolder
from gateway.storage.ledger.frames import FINAL, FIRST, OVERHEAD, final_frame, header_at, intent_frame
from gateway.storage.ledger.records import FINAL_EXTRA, MAX_ENDING, MAX_INTENT, MAX_RECORD, PAIR, as_stored, decode_final
from gateway.storage.ledger.segment import Segment
from gateway.storage.ledger.short import is_short, short_ending, short_intent
from gateway.storage.ledger.writer import Final

RETRY_AFTER_S = 5.0
"""What a refused caller is told: the shipper's longest pause between two tries at the store."""
ALARM_SHARE = 0.8
"""Of ``max_bytes``; past it somebody should look at the store before calls are refused."""

SPARE_SEGMENTS = 2
"""Allocated ahead. A journalling disk that is busy with a database's commits can hold up an allocation for a second, and a
worker at full speed fills two segments in that time."""

Fsync = Literal["off", "group"]


class SpoolLimits(Struct, frozen=True):
    """How much a worker may spool."""

    max_bytes: int = 1 << 30
    """About 1.3 million calls: at a worker's full speed a minute of an absent store, at 100 calls/s three and a half hours."""
    segment_bytes: int = 8 << 20
    """Some 10,000 calls: large enough that rotation is rare, small enough that space comes back soon."""
    reserve_bytes: int = 0
    """Beside ``max_bytes``, for rows in short form once those are used up; 0: calls are refused then."""
    fsync: Fsync = "off"
    recent_rows: int = 4000
    """Kept in memory: a fifth of a second at full speed, some 4 MB. Reading a row back costs 2 us, and encoding it then costs
    more too: its texts are no longer in the processor's caches."""


class Spool:
    """One worker's spool; a :class:`gateway.core.ports.Ledger`."""

    def __init__(self, folder: SpoolFolder, limits: SpoolLimits, executor: Executor | None = None) -> None:
        """Allocates the first segment. Raises ``OSError`` when the disk has no room for it."""
        self.limits = limits
        self.adopted_bytes = 0
        """What spools adopted from dead workers still hold: it counts against ``max_bytes``."""
        self.pending = 0
        """Final rows not yet taken."""
        self.disk_error: str | None = None
        """Why the last allocation of a segment failed; None after a success."""
        self.notify_at = 0
        self.notify: Callable[[], None] = _nobody
        """Called when ``pending`` reaches ``notify_at``."""
        self.refused = 0
        self.dropped_refusals = 0
        """Rows of calls that never had an intent, lost because the spool was full to the last byte."""
        self.mended = 0
        """Records that could not be stored word for word (:func:`gateway.storage.ledger.records.mended`)."""
        self.shortened = 0
        """Rows in short form: room for more was not left."""
        self.unreadable: list[bytes] = []
        """Final records that do not decode as rows: a defect of ours, kept for the dead letters."""

        self._size = size = limits.segment_bytes
        self._folder = folder
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="spool")
        # Of 8 MiB: 256 KiB for rows without an intent, half a thousand refused calls, and 1 MiB for copies, which is what a few
        # thousand calls open at once in one segment take.
        self._rows_floor = size // 32
        self._floor = self._rows_floor + size // 8
        self._spares: deque[Segment] = deque()
        self._coming: Future[Segment] | None = None
        self._numbers = 0
        self._current = self._make_segment()
        self._held: deque[Segment] = deque([self._current])
        self._write = self._current.memory.write
        self._tail = FIRST
        self._free = size - FIRST - MAX_RECORD - self._floor
        self._reserve = -(-limits.reserve_bytes // size)
        """Segments that the reserve should have."""
        self._kept_back = 0
        """Segments that it has: the last of the spares."""
        self._lent = 0
        """Segments of it that were made room and not replaced yet."""
        self._open: dict[tuple[str, int], tuple[int, Intent, bytes]] = {}
        """(segment number, intent, the same encoded) of calls under way, oldest segment first."""
        self._reading: tuple[Segment, int] = (self._current, FIRST)
        self._shipped: tuple[Segment, int] = self._reading
        self._taken = 0
        self._recent: deque[tuple[Intent, Ending, Segment, int]] = deque()
        """The next rows to hand out, each with its segment and the offset after it. Valid from ``_reading`` on, without a gap."""
        self._keep = limits.recent_rows
        """How many may be there: none while older ones have to be read from the segments first."""
        self._unsynced = 0
        self._closed = False
        self._fill_reserve()
        self.tend()

    # --- the port ---------------------------------------------------------------------------------------------------

    def intend(self, intent: Intent) -> None:
        """Promise N1. Raises ``ledger_full`` when there is no room for the intent and its final row."""
        if self._lent:
            intent = short_intent(intent)
        stored, body = as_stored(intent, MAX_INTENT)
        if stored is not intent:
            self.mended += 1
        frame = intent_frame(body)
        size = len(frame)
        need = size + len(body) + FINAL_EXTRA
        if need > self._free:
            self._make_room(need)
        self._free -= need
        tail = self._tail + size
        if tail > self._size:
            tail = self._rotate() + size
        self._write(frame)
        self._tail = tail
        self._open[intent.call_id, intent.attempt] = (self._current.number, stored, body)

    def append(self, intent: Intent, ending: Ending) -> None:
        """Promise N2. Never raises."""
        opened = self._open.pop((intent.call_id, intent.attempt), None)
        if opened is None:
            if self._lent:
                intent = short_intent(intent)
            told, before = as_stored(intent, MAX_INTENT)
            reserved = 0
        else:
            _, told, before = opened
            reserved = len(before) + FINAL_EXTRA
        short = is_short(told)
        if short:
            ending = short_ending(ending)
        ended, after = as_stored(ending, MAX_ENDING)
        if ended is not ending or (opened is None and told is not intent):
            self.mended += 1
        frame = final_frame(PAIR + before + after)
        need = len(frame)
        free = self._free + reserved - need
        if opened is None and free < -self._rows_floor:
            if not self._lend():
                self.dropped_refusals += 1
                return
            free = self._free - need
        self._free = free
        self.shortened += short
        tail = self._tail + need
        if tail > self._size:
            tail = self._rotate() + need
        self._write(frame)
        self._tail = tail
        if len(self._recent) < self._keep:
            self._recent.append((told, ended, self._current, tail))
        else:
            self._keep = 0
        self.pending = pending = self.pending + 1
        if pending == self.notify_at:
            self.notify()

    # --- the reader -------------------------------------------------------------------------------------------------

    def take(self, limit: int) -> list[Final]:
        """What the next final rows are made of, in order, at most ``limit``. They stay in the spool until :meth:`release`."""
        rows = self._take_recent(limit)
        if self.pending and len(rows) < limit:
            rows += self._take_stored(limit - len(rows))
        if not self.pending:
            self._keep = self.limits.recent_rows
        return rows

    def release(self) -> None:
        """Everything taken is committed (promise N4): remember that, and let go of the segments that are done."""
        segment, offset = self._reading
        if self._shipped != self._reading:
            self._folder.mark_shipped(segment.number, offset)
            self._shipped = self._reading
        self._taken = 0
        done: list[Segment] = []
        while self._held[0] is not segment and self._copy_open_intents(self._held[0].number):
            done.append(self._held.popleft())
        self.tend()
        for old in done:
            self._executor.submit(old.destroy)

    def rewind(self) -> None:
        """Something went wrong with what was taken: hand it out again."""
        self._reading = self._shipped
        self._recent.clear()
        self._keep = 0
        self.pending += self._taken
        self._taken = 0
        self.unreadable.clear()

    # --- room ---------------------------------------------------------------------------------------------------------

    @property
    def bytes(self) -> int:
        """What waits here to be committed."""
        segment, offset = self._shipped
        return (self._current.number - segment.number) * self._size + self._tail - offset

    @property
    def alarm(self) -> bool:
        """The store has been away for long, or is too slow: rows fill most of what may be spooled."""
        return self.bytes + self.adopted_bytes >= ALARM_SHARE * self.limits.max_bytes

    @property
    def accounts_only(self) -> bool:
        """Whether records are written in short form now."""
        return self._lent > 0

    @property
    def open_calls(self) -> int:
        """Intents without a final row."""
        return len(self._open)

    def tend(self) -> None:
        """Fetch the segment that was being allocated, and have the next one allocated if it will be needed. Does not wait."""
        if self._closed:
            return
        self._collect()
        if self._coming is None and (self._free < SPARE_SEGMENTS * self._size or self._kept_back < self._reserve):
            held = len(self._held) + len(self._spares) - self._reserve
            # The first spare is outside the bargain: without one nothing could ever be written.
            if held < 2 or (held + 1) * self._size + self.adopted_bytes <= self.limits.max_bytes:
                self._coming = self._executor.submit(self._make_segment)

    def sync(self) -> None:
        """Have every record so far on the disk. For the spool's own thread, which also removes segments, so none goes away."""
        newest = self._current.number
        for segment in list(self._held):
            if segment.number >= self._unsynced:
                segment.sync()
        self._unsynced = newest

    def run_in_thread(self, work: Callable[[], None]) -> "Future[None]":
        """Run ``work`` on the spool's own thread."""
        return self._executor.submit(work)

    def close(self) -> None:
        """Stop. A spool with nothing left in it is deleted; one with rows is left to the next worker that starts.

        While calls are open the lock stays until the process ends: their final rows may still come, and are still kept.
        """
        self._executor.shutdown(wait=True)
        self._collect()
        self._closed = True
        if self._open:
            return
        self._free = -self._floor
        for segment in (*self._held, *self._spares):
            segment.close()
        if self.pending or self._taken:
            self._folder.release()
        else:
            self._folder.remove()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _rotate(self) -> int:
        """Go on in the next segment; the offset of its first record."""
        # What the old segment still counted for in ``_free``; at most zero, as the record did not fit.
        self._free += self._tail + MAX_RECORD - self._size
        self._current = self._spares.popleft()
        self._held.append(self._current)
        self._write = self._current.memory.write
        self._tail = FIRST
        self.tend()
        return FIRST

    def _make_segment(self) -> Segment:
        self._numbers += 1
        limits = self.limits
        return Segment(self._folder.path, self._numbers, limits.segment_bytes, durable=limits.fsync == "group")

    def _collect(self) -> None:
        if self._coming is None or not self._coming.done():
            return
        try:
            self._spares.append(self._coming.result())
        except OSError as error:
            # The next ``tend`` tries again; until then intents are refused, loudly.
            self.disk_error = str(error)
        else:
            self.disk_error = None
            if self._kept_back < self._reserve:
                self._kept_back += 1
                self._lent = max(0, self._lent - 1)
            else:
                self._free += self._size - FIRST - MAX_RECORD
        self._coming = None

    def _fill_reserve(self) -> None:
        """Allocate it before the first call. A disk without room for it is no reason not to serve; ``tend`` tries again."""
        try:
            while self._kept_back < self._reserve:
                self._spares.append(self._make_segment())
                self._kept_back += 1
        except OSError as error:
            self.disk_error = str(error)

    def _lend(self) -> bool:
        """Make room of a segment of the reserve; False when there is none."""
        if not self._kept_back:
            return False
        self._kept_back -= 1
        self._lent += 1
        self._free += self._size - FIRST - MAX_RECORD
        return True

    def _make_room(self, need: int) -> None:
        self.tend()
        if need > self._free and not self._lend():
            self.refused += 1
            raise GatewayError(
                LEDGER_FULL,
                "the gateway cannot record this call now; try again later",
                retry_after=RETRY_AFTER_S,
                target="gateway",
            )

    def _take_recent(self, limit: int) -> list[Final]:
        recent = self._recent
        taken = [recent.popleft() for _ in range(min(limit, len(recent)))]
        if taken:
            self._reading = taken[-1][2:]
        self.pending -= len(taken)
        self._taken += len(taken)
        return [each[:2] for each in taken]

    def _take_stored(self, limit: int) -> list[Final]:
        rows: list[Final] = []
        segment, offset = self._reading
        while self.pending and len(rows) < limit:
            header = header_at(segment.memory, offset)
            if header is None:
                segment, offset = self._after(segment), FIRST
                continue
            kind, start, offset = header
            if kind == FINAL:
                self.pending -= 1
                self._taken += 1
                body = segment.memory[start:offset]
                try:
                    rows.append(decode_final(body))
                except MsgspecError:
                    self.unreadable.append(body)
        self._reading = (segment, offset)
        return rows

    def _after(self, segment: Segment) -> Segment:
        held = iter(self._held)
        for candidate in held:
            if candidate is segment:
                break
        return next(held)

    def _copy_open_intents(self, number: int) -> bool:
        """Before a segment goes; False when there is no room, then it stays a while."""
        leaving: list[tuple[str, int]] = []
        need = 0
        for key, (home, _, body) in self._open.items():
            if home > number:
                break
            leaving.append(key)
            need += len(body) + OVERHEAD
        if self._free - need < -self._floor:
            return False
        for key in leaving:
            _, intent, body = self._open.pop(key)
            frame = intent_frame(body)
            self._free -= len(frame)
            tail = self._tail + len(frame)
            if tail > self._size:
                tail = self._rotate() + len(frame)
            self._write(frame)
            self._tail = tail
            self._open[key] = (self._current.number, intent, body)
        return True


def _nobody() -> None:
    pass
