"""What it costs to look for prohibited terms: one search per text, beside ``re2.Set``. ``python tests/bench/bench_terms.py``

Prose without a hit, as nearly all texts are, and texts that are made to be slow: terms without their last letters, without their
first, without both, and words that hold a term, which only we report. Microseconds, the least of five measurements.
"""

import random
import re
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import re2

sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.guards.terms import TermSet

SIZES = (50, 200, 2_000, 10_000)
PROSE = re.findall(
    r"\w+",
    "the quick brown fox jumps over the lazy dog and says in a few short sentences what people read every day of the week",
)


def made_up(number: int) -> list[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(random.choices(letters, k=random.randint(6, 12))) + "q" for _ in range(number)]


def repeated(words: list[str], joint: str, size: int) -> str:
    return (joint.join(random.choices(words, k=size // 3)))[:size]


def re2_of(terms: list[str]) -> Callable[[bytes], list[int]]:
    options = re2.Options()
    options.max_mem, options.case_sensitive = 128 << 20, False
    found = re2.Set.SearchSet(options)
    for term in terms:
        found.Add(rf"\b{re2.escape(term)}\b")
    found.Compile()
    return found._set.Match


def us(search: Callable[[], object]) -> float:
    search()
    times = max(20, int(0.01 / timeit.timeit(search, number=1)))
    return min(timeit.repeat(search, number=times, repeat=5)) / times * 1e6


if __name__ == "__main__":
    random.seed(1)
    print("| terms | text | " + " | ".join(f"{size:,}, ours / re2" for size in SIZES) + " | compile, ms |")
    for number in (5, 20, 500, 10_000):
        terms = made_up(number)
        began = time.perf_counter()
        ours = TermSet(terms, "terms").match
        compiled, other = (time.perf_counter() - began) * 1e3, re2_of(terms)
        kinds = {
            "prose": (PROSE, " "),
            "terms without their ends": ([term[:-1] for term in terms], " "),
            "terms without their beginnings": ([term[1:] for term in terms], ""),
            "insides of terms": ([term[1:-1] for term in terms], ""),
            "words that hold a term": ([f"{terms[0]}s"], " "),
        }
        for kind, (words, joint) in kinds.items():
            texts = [repeated(words, joint, size) for size in SIZES]
            times = [(us(lambda t=t: ours(t)), us(lambda t=t: other(t.encode()))) for t in texts]
            print(f"| {number:,} | {kind} | " + " | ".join(f"{a:.1f} / {b:.1f}" for a, b in times) + f" | {compiled:.0f} |")
