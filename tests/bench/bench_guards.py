"""What guards cost without anything around them: CPU per call and per KB, whole and streamed. ``python tests/bench/bench_guards.py``

The guards are those of the bench (:mod:`loadtests.guarding`): ten patterns, 500 terms, personal data. Nothing in the texts is found, as
in almost every call.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.core.conversation import Message
from gateway.core.documents import Guardrails
from gateway.guards.outgoing import Outgoing
from gateway.guards.plan import GuardPlan, compile_guards
from gateway.guards.stream import Rules
from loadtests.guarding import section
from loadtests.work import EVENTS, prompt_content, question

SMALL, LONG = 200, 10_000


def plan(terms: bool, validators: slice) -> GuardPlan:
    full = section()
    part: dict[str, Any] = {"validators": full["validators"][validators]}
    if terms:
        part["prohibited_terms"] = full["prohibited_terms"]
    return compile_guards(msgspec.convert({"pre_validation": part, "post_validation": part}, Guardrails))


def spent_us(work: Callable[[], object], times: int) -> float:
    """CPU of one, the least of five measurements: what others do to the machine only adds."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - began)
    return best / times * 1e6


def streamed(plan: GuardPlan) -> None:
    guard = plan.post
    assert guard is not None
    if guard.quick:
        scan = guard.scan()
        for number in range(EVENTS):
            scan.feed(0, f"token{number} ")
        scan.finish(0)
        return
    outgoing = Outgoing(guard.texts or Rules(), guard.tools, {}, [])
    for number in range(EVENTS):
        outgoing.text(0, "content", f"token{number} ")
    outgoing.end()


def main() -> None:
    system = Message("system", prompt_content()["messages"][0]["content"], b'{"role":"system","content":""}')
    print(f"| guards | in, small call, us | in, us per KB | out, whole, us per KB | stream of {EVENTS}, us | per event |")
    print("|---|---|---|---|---|---|")
    kinds = {"500 terms": (True, slice(0)), "10 patterns": (False, slice(1)), "personal data": (False, slice(1, 2)), "all of them": (True, slice(2))}  # fmt: skip
    for name, (terms, validators) in kinds.items():
        made = plan(terms, validators)
        pre, post = made.pre, made.post
        assert pre is not None
        assert post is not None
        small, long = ((system, Message("user", question(size), b'{"role":"user","content":""}')) for size in (SMALL, LONG))
        first = spent_us(lambda pre=pre, small=small: pre.check(small), 300)
        more = (spent_us(lambda pre=pre, long=long: pre.check(long), 100) - first) / ((LONG - SMALL) / 1000)
        whole = spent_us(lambda post=post: post.check([(0, question(LONG))]), 100) / (LONG / 1000)
        stream = spent_us(lambda made=made: streamed(made), 50)
        print(f"| {name} | {first:.1f} | {more:.1f} | {whole:.1f} | {stream:.0f} | {stream / EVENTS:.1f} |")


if __name__ == "__main__":
    main()
