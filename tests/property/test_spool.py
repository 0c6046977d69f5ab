"""The spool as a state machine: whatever is served, shipped, killed and recovered in whatever order, nothing is lost or invented.

The model knows every record that was acknowledged and where it lies. A crash drops the process; it may also cut the newest
segment at any byte after the last release, as a power loss would. What recovery finds is delivered to the store in any order and
partly twice. Then the store must hold exactly the acknowledged calls (before the cut), each once, finals as finals.
"""

import os
import shutil
import tempfile
from concurrent.futures import Executor, Future
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import astuple, replace

from gateway.core.errors import GatewayError
from gateway.core.events import Usage
from gateway.core.ids import uuid7
from gateway.core.ledger import UNBILLED, Ending, Intent, LedgerRow, State, row_of
from gateway.storage.ledger.folder import dead_folders, make_folder
from gateway.storage.ledger.records import FINAL_EXTRA
from gateway.storage.ledger.recovery import DeadSpool
from gateway.storage.ledger.spool import Spool, SpoolLimits

SEGMENT = 32 << 10
LIMITS = SpoolLimits(max_bytes=4 * SEGMENT, segment_bytes=SEGMENT, recent_rows=8)


class Inline(Executor):
    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def intent_of(number: int, text: str, attempt: int = 1) -> Intent:
    call = uuid7(1_700_000_000_000 + number, number)
    return Intent(
        call_id=call,
        attempt=attempt,
        application_id="app",
        key_id="key",
        request_id=call,
        door="chat",
        stream=False,
        requested_model=None,
        provider="echo",
        model="m",
        user=text,
        session=None,
        tags=(),
        prompt=None,
        estimated_input_tokens=number,
    )


def ending_of(intent: Intent) -> Ending:
    counts = astuple(Usage(intent.estimated_input_tokens, 0))
    return Ending("ok", 200, None, None, 1, None, None, 1, None, None, [], counts, UNBILLED)


class SpoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="spool-"))
        self.numbers = 0
        self.store: dict[tuple[str, int], LedgerRow] = {}
        self.certain: dict[tuple[str, int], LedgerRow | None] = {}
        """Every acknowledged call that no cut took away: its final row, or None while only intended."""
        self.possible: set[tuple[str, int]] = set()
        """Everything ever written."""
        self.lives = 0

    @initialize()
    def open(self) -> None:
        self.spool = Spool(make_folder(self.root, 0), LIMITS, Inline())
        self.intents: dict[tuple[str, int], Intent] = {}
        self.log: list[tuple[int, int, tuple[str, int], LedgerRow | None]] = []
        """(segment, end, call, final row or None) of this life's records."""
        self.durable = (0, 0)
        """Where the spool stood at the last release: a cut falls after it."""
        self.pending = 0

    def note(self, key: tuple[str, int], row: LedgerRow | None) -> None:
        self.log.append((self.spool._current.number, self.spool._tail, key, row))
        self.possible.add(key)

    @rule(text=st.sampled_from(["", "u", "x" * 900, "y" * 5000]))
    def intend(self, text: str) -> None:
        self.numbers += 1
        intent = intent_of(self.numbers, text)
        try:
            self.spool.intend(intent)
        except GatewayError:
            return
        key = (intent.call_id, 1)
        self.intents[key] = intent
        self.note(key, None)

    @precondition(lambda self: self.intents)
    @rule(data=st.data(), text=st.sampled_from([None, "e" * 700, "e" * 9000]))
    def finish(self, data, text: str | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.intents)))
        intent = self.intents.pop(key)
        ending = replace(ending_of(intent), error=text)
        self.spool.append(intent, ending)
        self.pending += 1
        self.note(key, row_of(intent, ending))

    @rule()
    def serve_many(self) -> None:
        for _ in range(20):
            self.numbers += 1
            intent = intent_of(self.numbers, "z" * 600)
            try:
                self.spool.intend(intent)
            except GatewayError:
                return
            self.note((intent.call_id, 1), None)
            ending = ending_of(intent)
            self.spool.append(intent, ending)
            self.pending += 1
            self.note((intent.call_id, 1), row_of(intent, ending))

    @rule()
    def refuse(self) -> None:
        self.numbers += 1
        intent = intent_of(self.numbers, "refused", attempt=0)
        ending = ending_of(intent)
        dropped = self.spool.dropped_refusals
        self.spool.append(intent, ending)
        if self.spool.dropped_refusals == dropped:
            self.pending += 1
            self.note((intent.call_id, 0), row_of(intent, ending))

    @rule(limit=st.integers(1, 60), outcome=st.sampled_from(["released", "rewound", "delivered then rewound"]))
    def ship(self, limit: int, outcome: str) -> None:
        rows = [row_of(*final) for final in self.spool.take(limit)]
        if outcome != "rewound":
            self.deliver(rows)
        if outcome == "released":
            self.spool.release()
            self.pending -= len(rows)
            self.durable = (self.spool._current.number, self.spool._tail)
        else:
            self.spool.rewind()

    def deliver(self, rows: list[LedgerRow]) -> None:
        for row in rows:
            known = self.store.get((row.call_id, row.attempt))
            if known is None or known.state < row.state:
                self.store[row.call_id, row.attempt] = row

    @rule(data=st.data(), power=st.booleans())
    def crash(self, data, power: bool) -> None:
        spool = self.spool
        del self.spool
        number, tail, path = spool._current.number, spool._tail, spool._current.path
        for segment in (*spool._held, *spool._spares):
            segment.close()
        spool._folder.release()
        cut = (number, tail)
        if power:
            lowest = self.durable[1] if self.durable[0] == number else 0
            cut = (number, data.draw(st.integers(lowest, tail)))
            os.truncate(path, cut[1])
            if data.draw(st.booleans()):
                os.truncate(path, SEGMENT)
        for segment, end, key, row in self.log:
            if (segment, end) <= cut:
                self.certain[key] = row or self.certain.get(key)
        for folder in dead_folders(self.root):
            dead = DeadSpool(folder)
            rows: list[LedgerRow] = []
            while part := dead.take(data.draw(st.integers(1, 100))):
                rows += part
            self.deliver(data.draw(st.permutations(rows)))
            self.deliver(rows[: data.draw(st.integers(0, 3))])
            assert dead.exhausted
            assert not dead.damaged
            assert not dead.unreadable
            dead.release()
        self.check_store()
        self.lives += 1
        self.open()

    def check_store(self) -> None:
        for key, row in self.certain.items():
            found = self.store[key]
            if row is None:
                assert found.state in (State.INTERRUPTED, State.FINAL)
            else:
                assert found.state == State.FINAL
                assert found.input_tokens == row.input_tokens
        assert set(self.store) <= self.possible

    @invariant()
    def books_balance(self) -> None:
        spool = getattr(self, "spool", None)
        if spool is None:
            return
        room = sum(max(0, SEGMENT - 8 - 8192) for _ in spool._spares) + (SEGMENT - 8192 - spool._tail)
        reserved = sum(len(body) + FINAL_EXTRA for _, _, body in spool._open.values())
        assert spool._free == room - reserved - spool._floor
        assert room >= reserved, "an open call has no room for its final row"
        assert spool.pending == self.pending
        assert spool.open_calls == len(self.intents)
        held = len(list(spool._folder.path.glob("*.segment")))
        assert held * SEGMENT <= LIMITS.max_bytes

    def teardown(self) -> None:
        spool = getattr(self, "spool", None)
        if spool is not None:
            for segment in (*spool._held, *spool._spares):
                segment.close()
            spool._folder.release()
        shutil.rmtree(self.root)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
