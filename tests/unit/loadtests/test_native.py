"""The load generator counts what the upstream served, and sees what is wrong with an answer."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from loadtests.faults import FaultServer
from loadtests.measure import LoadResult, parse
from loadtests.tools import BUILD, build, free_port

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    build()
    port = free_port()
    with subprocess.Popen([BUILD / "upstream", str(port)]) as process:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as http:
            http.get(f"{url}/stats")
        yield url
        process.kill()


@pytest.fixture
async def faults() -> AsyncIterator[str]:
    build()
    async with FaultServer() as server:
        yield server.url.removesuffix("/v1")


async def _load(url: str, tmp_path: Path, model: str = "m", *, stream: bool = False, **options: object) -> LoadResult:
    body = tmp_path / "body.json"
    body.write_bytes(msgspec.json.encode({"model": model, "stream": stream, "user": "@" * 16, "messages": []}))
    words = [str(BUILD / "loadgen"), "--url", f"{url}/v1/chat/completions", "--body", str(body)]
    given = {"connections": 4, "seconds": 0.4, **options}
    words += [word for name, value in given.items() for word in (f"--{name}", str(value))]
    process = await asyncio.create_subprocess_exec(*words, "-H", f"x-request-id: t-{'@' * 16}", stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    return parse(out)


def _stats(url: str) -> dict[str, int]:
    return httpx.get(f"{url}/stats").json()


async def test_both_sides_count_the_same_calls(upstream: str, tmp_path: Path) -> None:
    before = _stats(upstream)["answered"]
    load = await _load(upstream, tmp_path)
    assert load.requests == load.admitted.count == load.answers["200"] > 100
    assert _stats(upstream)["answered"] - before == load.requests == load.sent_total
    assert load.connections == 4


async def test_a_stream_is_whole_only_with_all_its_events(upstream: str, tmp_path: Path) -> None:
    whole = await _load(upstream, tmp_path, stream=True, events=52)
    assert whole.admitted.count > 20
    assert whole.incomplete == 0
    short = await _load(upstream, tmp_path, stream=True, events=53)
    assert short.incomplete == short.admitted.count > 20


async def test_an_open_loop_charges_the_queue_to_the_latency(upstream: str, tmp_path: Path) -> None:
    httpx.get(f"{upstream}/control?latency_us=20000")
    try:
        load = await _load(upstream, tmp_path, rate=400, connections=4, seconds=1.0)
    finally:
        httpx.get(f"{upstream}/control?latency_us=0")
    assert 300 < load.admitted.count + load.unsent < 500
    assert load.admitted.p50_us is not None
    assert load.admitted.p50_us > 150_000, "4 connections of 20 ms serve 200 a second; half of the arrivals had to queue"


async def test_every_call_has_its_own_number(upstream: str, tmp_path: Path) -> None:
    ids = tmp_path / "ids"
    load = await _load(upstream, tmp_path, ids=ids)
    lines = [line.split() for line in ids.read_text().splitlines()]
    assert len(lines) == load.requests == len({line[0] for line in lines})
    assert {line[1] for line in lines} == {"200"}


async def test_failures_made_by_the_upstream_are_counted_apart(upstream: str, tmp_path: Path) -> None:
    httpx.get(f"{upstream}/control?fail_percent=25")
    try:
        load = await _load(upstream, tmp_path)
    finally:
        httpx.get(f"{upstream}/control?fail_percent=0")
    assert load.other.count == load.answers["500"]
    assert load.other.count == pytest.approx(load.requests / 4, abs=1)


@pytest.mark.parametrize(
    ("model", "stream", "field"),
    [
        ("mock-truncated", True, "broken"),
        ("mock-cut", True, "broken"),
        ("mock-reset", True, "broken"),
        ("mock-badframe", True, "broken"),
        ("mock-truncated", False, "broken"),
        ("mock-nodone", True, "incomplete"),
        ("mock-err-in-stream", True, "incomplete"),
    ],
)
async def test_bad_answers_do_not_pass_for_good_ones(faults: str, tmp_path: Path, model: str, stream: bool, field: str) -> None:
    load = await _load(faults, tmp_path, model, stream=stream)
    bad = getattr(load, field)
    assert bad > 0
    assert load.admitted.count - load.incomplete == 0


async def test_refusals_are_a_class_of_their_own(faults: str, tmp_path: Path) -> None:
    load = await _load(faults, tmp_path, "mock-503")
    assert load.refused.count == load.requests > 0
    assert load.no_retry_after == 0


@pytest.mark.parametrize("model", ["mock-comments", "mock-utf8split"])
async def test_odd_but_whole_streams_are_whole(faults: str, tmp_path: Path, model: str) -> None:
    load = await _load(faults, tmp_path, model, stream=True)
    assert load.admitted.count > 0
    assert load.incomplete == load.broken == 0
