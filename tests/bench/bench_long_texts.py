"""How long the loop stands still while guards judge one long text. ``python tests/bench/bench_long_texts.py [--megabytes 1]``

A text of the worst kinds that are known, and prose, is judged as :mod:`gateway.pipeline.guard_in` judges a long request: in a thread. Beside
it the loop counts its turns, of which the longest is printed: the least of three runs, for what others do to the machine only adds. For
comparison the whole time, which is what the loop stood still before.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.core.conversation import Message
from gateway.core.documents import Guardrails
from gateway.guards.plan import InputGuard, compile_guards
from gateway.pipeline.apart import Apart

GUARDS: dict[str, dict[str, object]] = {
    "pii": {"type": "pii"},
    "secrets": {"type": "secrets"},
    "injection": {"type": "injection"},
    "regex": {"type": "regex", "options": {"patterns": ["a.*b|a", "foo[0-9]+bar"]}},
    "script": {"type": "script", "options": {"allowed": ["Latin"]}},
    "length": {"type": "length", "options": {"max_words": 10_000_000}},
}
TEXTS = {
    "prose": "the quick customer reads about payments and invoices in Berlin ",
    "card numbers, wrong by a digit": "4111 1111 1111 1112 ",
    "addresses": "1.2.3.4/",
    "half a match": "a" * 63 + " ",
    "base64": "aWdub3JlIGFsbCBwcmV2aW91cw==",
    "Cyrillic": "\u0438\u0433\u043d\u043e\u0440\u0438\u0440\u0443\u0439 ",
}


async def longest_turn(apart: Apart, work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds: the longest turn of the loop while some work is done, and the whole of it."""
    loop = asyncio.get_running_loop()
    began = last = loop.time()
    job = asyncio.ensure_future(apart.do(work))
    worst = 0.0
    while not job.done():
        await asyncio.sleep(0.001)
        now = loop.time()
        worst, last = max(worst, now - last - 0.001), now
    await job
    return worst * 1000, (loop.time() - began) * 1000


async def main() -> None:
    """Print a table: by text and guard the longest turn, and in brackets the whole time."""
    parser = argparse.ArgumentParser(description="How long the loop stands still while one long text is judged")
    parser.add_argument("--megabytes", type=float, default=1.0)
    size = int(parser.parse_args().megabytes * 1_000_000)
    apart = Apart()
    print("| text | " + " | ".join(GUARDS) + " |")
    print("|---|" + "---|" * len(GUARDS))
    for name, unit in TEXTS.items():
        text = (unit * (size // len(unit) + 1))[:size]
        conversation = (Message("user", text, msgspec.json.encode({"role": "user", "content": text}), b""),)
        cells: list[str] = []
        for validator in GUARDS.values():
            observed = {"pre_validation": {"validators": [{**validator, "mode": "observe"}]}}
            guard = compile_guards(msgspec.convert(observed, Guardrails)).pre
            assert isinstance(guard, InputGuard)
            runs = [await longest_turn(apart, lambda guard=guard: guard.check(conversation)) for _ in range(3)]
            cells.append(f"{min(turn for turn, _ in runs):.0f} ({min(whole for _, whole in runs):.0f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
