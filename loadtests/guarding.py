"""What guards cost: the same calls by a prompt without any and by one with ten patterns, 500 terms and personal data, in and out."""

import http.client
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from loadtests.figures import median
from loadtests.gateway_peer import Gateway
from loadtests.work import EVENTS, Workload, gateway_body, prompt_content

BARE, GUARDED = "bench-bare", "bench-guarded"
PATTERNS = [
    r"\bORD-\d{6,10}\b",
    r"\bTCK\d{5}\b",
    r"\b[A-Z]{2}\d{9}[A-Z]{2}\b",
    r"\bSKU-[A-Z0-9]{4,12}\b",
    r"\bproject (?:falcon|osprey|kestrel)\b",
    r"\b\d{4}-\d{2}-\d{2}T\d{2}:\d{2}\b",
    r"\bver\d{1,3}\.\d{1,3}\b",
    r"\bhttps?://intranet\.[a-z]{2,20}\b",
    r"\b[0-9a-f]{32}\b",
    r"\b(?:internal|confidential):[a-z]{3,20}\b",
]
"""Of the kinds that people write: numbers of orders and parcels, names of projects, hosts, digests."""
TERMS = [f"forbidden phrase {i}" for i in range(250)] + [f"blockedterm{i:03d}" for i in range(250)]
LONG = 10_000
GAP_US = 5_000
"""Between the events of a stream that is listened to: a quick model."""
LISTENED = 40
"""Streams of each kind, one after the other, in turns."""

CALLS = (
    (Workload("bare", "no guards, small", 200, prompt=BARE), Workload("guarded", "guards, small", 200, prompt=GUARDED)),
    (
        Workload("bare-10k", "no guards, 10 KB", LONG, prompt=BARE),
        Workload("guarded-10k", "guards, 10 KB", LONG, prompt=GUARDED),
    ),
    (
        Workload("bare-stream", f"no guards, stream of {EVENTS} events", 200, stream=True, prompt=BARE),
        Workload("guarded-stream", f"guards, stream of {EVENTS} events", 200, stream=True, prompt=GUARDED),
    ),
)
"""Pairs that differ in the guards alone."""
WORKS = tuple(work for pair in CALLS for work in pair)


def section() -> dict[str, Any]:
    """Either side of the guarded prompt."""
    return {
        "prohibited_terms": TERMS,
        "validators": [{"type": "regex", "options": {"patterns": PATTERNS}}, {"type": "pii", "on_fail": "redact"}],
    }


def publish(gateway: Gateway) -> None:
    """Both prompts: the same text, once without guards and once with."""
    for slug, guardrails in ((BARE, {}), (GUARDED, {"pre_validation": section(), "post_validation": section()})):
        gateway.publish(slug, {**prompt_content(), "guardrails": guardrails})


def per_kb_us(spent: Mapping[str, float]) -> float:
    """What the guards add per kilobyte of prompt: what they add to a long call beyond what they add to a small one."""
    added = (spent["guarded-10k"] - spent["bare-10k"]) - (spent["guarded"] - spent["bare"])
    return added / ((LONG - 200) / 1000)


class Heard(msgspec.Struct):
    """When the tokens of streams could be read, in milliseconds after the call, as medians over the streams."""

    first_ms: float
    tokens_ms: list[float]


def listen(gateway: Gateway) -> dict[str, Heard]:
    """Streams of both prompts in turns, token by token; the upstream pauses :data:`GAP_US` before each."""
    streams = CALLS[-1]
    seen: dict[str, list[list[float]]] = {work.name: [] for work in streams}
    for _ in range(LISTENED):
        for work in streams:
            seen[work.name].append(_one(gateway, work))
    return {
        name: Heard(median(times[0] for times in runs), [median(column) for column in zip(*runs, strict=True)])
        for name, runs in seen.items()
    }


def _one(gateway: Gateway, work: Workload) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    headers = {**gateway.headers(), "content-type": "application/json", "accept-encoding": "identity"}
    began = time.perf_counter()
    connection.request("POST", work.path, gateway_body(work, "heard"), headers)
    answer = connection.getresponse()
    text, times = "", list[float]()
    while line := answer.readline():
        if not line.startswith(b"data: {"):
            continue
        now = (time.perf_counter() - began) * 1000
        for choice in msgspec.json.decode(line[6:])["choices"]:
            text += choice["delta"].get("content") or ""
        while len(times) < EVENTS and f"token{len(times)}" in text:
            times.append(now)
    connection.close()
    if len(times) != EVENTS:
        raise RuntimeError(f"{work.name}: {len(times)} of {EVENTS} tokens in {text[-200:]!r}")
    return times
