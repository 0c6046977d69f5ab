"""Calls to write down."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import astuple

from gateway.core import ledger
from gateway.core.events import Usage
from gateway.core.ids import uuid7
from gateway.core.ledger import Bill, Ending, Intent, LedgerRow, ServedPrompt
from gateway.storage.ledger.folder import make_folder
from gateway.storage.ledger.spool import Spool, SpoolLimits

PROMPT = ServedPrompt("01900000-0000-7000-8000-00000000000c", "faq-bot", 7, "production", None, "c" * 64, 3)
SMALL = SpoolLimits(max_bytes=160 << 10, segment_bytes=32 << 10)


class Inline(Executor):
    """The spool's thread, without the thread."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


@pytest.fixture
def intent_of() -> Callable[..., Intent]:
    def make(number: int, **changes) -> Intent:
        values: dict[str, Any] = {
            "call_id": uuid7(1_700_000_000_000 + number, number),
            "attempt": 1,
            "application_id": "01900000-0000-7000-8000-00000000000a",
            "key_id": "01900000-0000-7000-8000-00000000000b",
            "request_id": f"request-{number}",
            "door": "chat",
            "stream": False,
            "requested_model": "fast",
            "provider": "openai",
            "model": "gpt-4o",
            "user": "user-1",
            "session": None,
            "tags": ("a", "b"),
            "prompt": PROMPT,
            "estimated_input_tokens": 100 + number,
        }
        return Intent(**(values | changes))

    return make


@pytest.fixture
def final_of(intent_of) -> Callable[..., tuple[Intent, Ending]]:
    def make(number: int, **changes) -> tuple[Intent, Ending]:
        labels = {name: changes.pop(name) for name in Intent.__struct_fields__ if name in changes}
        values: dict[str, Any] = {
            "outcome": "ok",
            "status": 200,
            "finish_reason": "stop",
            "usage_source": "upstream",
            "latency_us": 5000,
            "first_byte_us": 4000,
            "upstream_us": 4500,
            "attempts": 1,
            "guard": None,
            "error": None,
            "verdicts": [],
            "counts": astuple(Usage(90 + number, 20)),
            "bill": Bill(1234, "exact", "2026-01-01"),
        }
        return intent_of(number, **labels), Ending(**(values | changes))

    return make


@pytest.fixture
def row_of(final_of) -> Callable[..., LedgerRow]:
    def make(number: int, **changes) -> LedgerRow:
        return ledger.row_of(*final_of(number, **changes))

    return make


@pytest.fixture(params=[0, 20, 4000], ids=["stored", "few", "recent"])
def make_spool(tmp_path: Path, request) -> Iterator[Callable[..., Spool]]:
    """Makes spools whose reader finds rows in the segments, in memory, or some here and some there."""
    made: list[Spool] = []

    def make(limits: SpoolLimits = SMALL, **changes: int) -> Spool:
        limits = msgspec.structs.replace(limits, **({"recent_rows": request.param} | changes))
        spool = Spool(make_folder(tmp_path, 0), limits, Inline())
        made.append(spool)
        return spool

    yield make
    for spool in made:
        for segment in (*spool._held, *spool._spares):
            segment.close()
