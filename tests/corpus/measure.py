"""How well each guard of the catalogue finds what its labelled corpus says, as precision and recall.

``python -m tests.corpus.measure`` prints a row per corpus; with the name of a guard also every miss and every false finding.

A corpus is ``tests/corpus/<type>.jsonl``: in its first line a :class:`Head`, then an :class:`Example` per line. The mark ``¦`` (U+00A6) is
taken out of texts when they are read: it keeps made-up secrets from looking like real ones in the repository.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.guards.catalogue import make
from gateway.guards.detector import Detector, Finding
from gateway.guards.remote.asking import Matter
from gateway.guards.remote.topic import TopicGuard
from gateway.guards.rules import Remote
from gateway.guards.shipped import CATALOGUE
from gateway.providers.echo_embeddings import embed

FOLDER = Path(__file__).parent
MARK = "¦"
ANY = "*"
"""Expected as a kind: anything that is found will do, for guards whose kinds are a matter of degree."""


class Head(Struct, forbid_unknown_fields=True):
    """What a corpus is measured with, and what it must reach."""

    precision: float
    """The floor: what was measured, rounded down to two places."""
    recall: float
    options: dict[str, Any] = {}
    """Of the guard, where the corpus needs other than the default ones."""


class Example(Struct, forbid_unknown_fields=True):
    """A text and everything that is to be found in it: nothing, for a negative example."""

    text: str
    find: list[tuple[str, str]] = []
    """(what, the text of it) from left to right; an empty text stands for the whole, where a guard judges whole texts."""
    options: dict[str, Any] | None = None
    """Of the guard, for this example alone."""
    source: str = ""
    """The publication that describes the attack, where the text follows one; the words are ours."""


class Corpus(Struct):
    type: str
    head: Head
    examples: list[Example]


class Score(Struct):
    """Counts of findings: an expected one is found if one of its kind overlaps it."""

    hits: int = 0
    false: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.false) if self.hits + self.false else 1.0

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else 1.0


class Result(Struct):
    corpus: Corpus
    positive: int
    """Examples with something to find."""
    score: Score
    by_kind: dict[str, Score]
    wrong: list[str]
    """Misses and false findings, in words."""


def names() -> list[str]:
    """Guards that have a corpus."""
    return sorted(file.relative_to(FOLDER).with_suffix("").as_posix() for file in FOLDER.rglob("*.jsonl"))


def load(name: str) -> Corpus:
    """Read a corpus strictly. An expected text that does not stand in its example is a mistake of the author (``ValueError``)."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").replace(MARK, "").splitlines()
    examples = [msgspec.json.decode(line, type=Example) for line in lines[1:] if line]
    for example in examples:
        for _, part in example.find:
            if part not in example.text:
                raise ValueError(f"{name}: {part!r} is not in {example.text!r}")
    return Corpus(name, msgspec.json.decode(lines[0], type=Head), examples)


def detector_of(name: str, options: dict[str, Any]) -> Detector:
    """The guard with these options."""
    made = make(CATALOGUE[name.rpartition("/")[2]], options, name)
    if isinstance(made, TopicGuard):
        return Topical(made)
    assert not isinstance(made, Remote)
    return made


class Topical:
    """``topic`` with the vectors of the provider ``echo``, which know shared words and nothing else."""

    def __init__(self, guard: TopicGuard) -> None:
        self._guard = guard
        self.longest: int | None = None
        self.before = 0

    def find(self, text: str) -> list[Finding]:
        question = self._guard.question(Matter("pre", (text,), ("user",), "", "", ""))
        if question is None:  # a text without words asks nothing
            return []
        found = self._guard.compare(_vectors(question.texts), _vectors(question.examples)).found
        return [Finding(0, len(text), what) for what in found]

    def hold(self, text: str) -> int:
        return len(text)


def _vectors(texts: tuple[str, ...]) -> list[list[float]]:
    answer = msgspec.json.decode(embed(msgspec.json.encode({"input": texts, "model": ""})))
    return [one["embedding"] for one in answer["data"]]


def measure(name: str) -> Result:
    corpus = load(name)
    usual = detector_of(name, corpus.head.options)
    score, kinds, wrong = Score(), {}, []
    for example in corpus.examples:
        detector = usual if example.options is None else detector_of(name, example.options)
        _judge(detector, example, score, kinds, wrong)
    return Result(corpus, sum(1 for example in corpus.examples if example.find), score, kinds, wrong)


def _judge(detector: Detector, example: Example, score: Score, kinds: dict[str, Score], wrong: list[str]) -> None:
    open_findings = list(detector.find(example.text))
    for what, start, end in _expected(example):
        both = (score, kinds.setdefault(what, Score()))
        found = next((f for f in open_findings if what in {f.what, ANY} and _meet(f, start, end)), None)
        if found is None:
            wrong.append(f"missed {what}: {example.text[start:end]!r} in {example.text!r}")
        else:
            open_findings.remove(found)
        for counts in both:
            counts.hits += found is not None
            counts.missed += found is None
    for extra in open_findings:
        wrong.append(f"false {extra.what}: {example.text[extra.start : extra.end]!r} in {example.text!r}")
        score.false += 1
        kinds.setdefault(extra.what, Score()).false += 1


def _expected(example: Example) -> Iterator[tuple[str, int, int]]:
    place = 0
    for what, part in example.find:
        if not part:
            yield what, 0, len(example.text)
            continue
        found = example.text.find(part, place)
        start = found if found >= 0 else example.text.index(part)
        place = start + len(part)
        yield what, start, place


def _meet(finding: Finding, start: int, end: int) -> bool:
    return (finding.start < end and start < finding.end) or (finding.start, finding.end) == (start, end)


def row(result: Result) -> str:
    """A row of the table in docs/guard-catalogue.md."""
    negative = len(result.corpus.examples) - result.positive
    return f"| `{result.corpus.type}` | {result.positive} | {negative} | {result.score.precision:.3f} | {result.score.recall:.3f} |"


def main(wanted: list[str]) -> None:
    print("| guard | examples with findings | without | precision | recall |\n|---|---|---|---|---|")
    for name in wanted or names():
        result = measure(name)
        print(row(result))
        if wanted:
            for kind, score in sorted(result.by_kind.items()):
                print(f"    {kind:20} precision {score.precision:.3f} recall {score.recall:.3f} of {score.hits + score.missed}")
            print(*result.wrong, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
