"""However a provider cuts its answer, and however the reads fall, the caller sees the same."""

import asyncio
import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import Guardrails, PostValidation
from gateway.core.errors import GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.requests import Inbound
from gateway.guards.plan import compile_guards
from gateway.pipeline.apart import Apart
from gateway.pipeline.attempt import Answer
from gateway.pipeline.guard_out import Guarded, gate_of
from gateway.providers.openai import OpenAITranslator
from gateway.routing.health import Health, Rules
from gateway.wire import openai as wire

TERMS = ["secret", "ab ba", "über"]
VIOLATION = re.compile("|".join(rf"(?<!\w){term}(?!\w)" for term in TERMS))
"""The same terms as an oracle reads them: whole words, any case."""
PLAN = compile_guards(Guardrails(post_validation=PostValidation(prohibited_terms=TERMS))).post
TEXTS = st.lists(
    st.tuples(st.integers(0, 1), st.text(alphabet="abse cretÜü\n", max_size=6)), min_size=1, max_size=14
)  # fmt: skip


class Pieces:
    """An exchange of given pieces."""

    status = 200

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.headers: dict[bytes, bytes] = {}

    async def chunk(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    async def read(self, limit: int) -> bytes:
        raise NotImplementedError

    def close(self) -> None: ...


def chunk(choice: int, text: str) -> bytes:
    return b"data: " + wire.encode({"choices": [{"index": choice, "delta": {"content": text}}]}) + b"\n\n"


async def seen(pieces: list[bytes]) -> tuple[list[bytes], str]:
    """Payloads shown, and how it ended."""
    journal = Journal(Inbound("chat", {}, b"", "id", "id", 0, 0.0, 1.0))
    decoder = OpenAITranslator().decoder("chat")
    first: list[Event] = []
    pieces = [piece for piece in pieces if piece]
    while not first and pieces:
        first = decoder.feed(pieces.pop(0))
    answer = Answer(first, Pieces(pieces), decoder, journal, Health("a/b", Rules()), lambda: 0.0, native=False)
    gate = gate_of(PLAN, {}, journal, streamed=True, chat=False, limit=0)
    assert gate is not None
    guard = Guarded(answer, gate, Apart())
    shown: list[bytes] = []
    try:
        while events := await guard.next():
            shown += [event.data for event in events]
    except GatewayError as error:
        return shown, f"{error.kind.name} {journal.guard}"
    return shown, "ok"


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = sorted({mark % (len(data) + 1) for mark in at} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=12))
def test_cutting_a_stream_elsewhere_changes_neither_verdict_nor_a_byte_of_a_clean_answer(
    texts: list[tuple[int, str]], at: list[int]
) -> None:
    events = [chunk(choice, text) for choice, text in texts]
    data = b"".join(events) + b"data: [DONE]\n\n"
    whole = asyncio.run(seen([data]))
    each = asyncio.run(seen([*events, b"data: [DONE]\n\n"]))
    odd = asyncio.run(seen(cut(data, at)))
    assert whole[1] == each[1] == odd[1]
    payloads = [event[6:-2] for event in events]
    for shown, verdict in (whole, each, odd):
        assert shown == payloads[: len(shown)], "order and bytes"
        if verdict == "ok":
            assert shown == payloads


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_nothing_is_shown_from_the_first_letter_of_a_prohibited_term_on(texts: list[tuple[int, str]]) -> None:
    shown, verdict = asyncio.run(seen([*[chunk(choice, text) for choice, text in texts], b"data: [DONE]\n\n"]))
    found = False
    for choice in (0, 1):
        whole = "".join(text for index, text in texts if index == choice)
        visible = sum(len(text) for index, text in texts[: len(shown)] if index == choice)
        for hit in VIOLATION.finditer(whole.lower()):
            found = True
            assert visible <= hit.start()
    assert (verdict == "ok") is not found
