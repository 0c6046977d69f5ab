"""The hold-back window for any guards: judging and rewriting a text while it comes, without buffering it.

Each rule reads on its own, from the first character that it has not decided. What is left of the slowest reader can be let go: nothing
in it can be, or become, part of a finding. Findings take effect in the order of their places, so which one ends the answer, what is
written in the place of what, and what is counted depend on the text alone, never on how it was cut:

- a finding of a blocking rule that begins at character p ends the answer. What is left of p may be shown, nothing from p on;
- of findings that overlap, the one that begins first is written whole, and of the next one what is not covered yet;
- rules that count (how long a text is) decide each character as it comes, and end the answer at the first that is too much;
- rules that only watch (observe, annotate) hold nothing back. They judge the text once, when it is complete or where it was blocked.
"""

from collections import deque

from gateway.core.verdicts import ALLOW, OutputVerdict
from gateway.guards.detector import Count, Finding, Probed, contextual, counting, lazy
from gateway.guards.edits import Edit, clipped
from gateway.guards.matches import TOO_MANY
from gateway.guards.patterns import possible
from gateway.guards.rules import Rule, Tally


class Reader:
    """One rule's way through a text. Places are counted from the text's beginning."""

    __slots__ = ("_before", "_contextual", "_detector", "_lazy", "_left", "place")

    def __init__(self, rule: Rule) -> None:
        detector = rule.detector
        self._detector = detector
        self._before = detector.before
        self._contextual = contextual(detector)
        self._lazy = lazy(detector)
        self._left = None if self._lazy is None else self._lazy.most
        """Findings that may yet come; -1: there were more, and all of the text is one."""
        self.place = 0
        """The first character that is not decided: nothing that begins left of it is unknown."""

    @property
    def over(self) -> bool:
        """Whether all that comes is part of one finding."""
        return self._left == -1

    @property
    def needs_from(self) -> int:
        """The first character that it may look at again."""
        return max(0, self.place - self._before)

    def read(self, text: str, base: int, *, complete: bool) -> list[Finding]:
        """Decide what can be decided. ``text`` begins at character ``base``, at or left of :attr:`needs_from`."""
        if self.over:
            origin, self.place = self.place, base + len(text)
            return [Finding(origin, self.place, TOO_MANY)] if origin < self.place else []
        view = text[self.needs_from - base :]
        origin = self.needs_from
        start = self.place - origin
        found = self._find(view, start) if complete or self._lazy is None else []
        decided: list[Finding] = []
        if complete:
            decided, start = found, len(view)
        else:
            while True:
                border = len(view) - self._hold(view, start)
                if self._lazy is None:
                    fresh = [f for f in found[len(decided) :] if f.start < border]
                else:
                    fresh = list(self._lazy.find_until(view, start, border))
                if not fresh:
                    start = max(start, border)
                    break
                decided += fresh
                start = fresh[-1].end
        if self._left is not None:
            decided, start = self._counted(decided, len(view), start)
        self.place = origin + start
        return [Finding(f.start + origin, f.end + origin, f.what) for f in decided] if origin else decided

    def _counted(self, decided: list[Finding], size: int, start: int) -> tuple[list[Finding], int]:
        """What was found, and where to go on; of too much, the first one more is all the rest."""
        assert self._left is not None
        if len(decided) <= self._left:
            self._left -= len(decided)
            return decided, start
        kept, self._left = self._left, -1
        return [*decided[:kept], Finding(decided[kept].start, size, TOO_MANY)], size

    def _find(self, view: str, start: int) -> list[Finding]:
        if self._contextual is not None:
            return list(self._contextual.find_from(view, start))
        found = self._detector.find(view)
        return [f for f in found if f.start >= start] if start else list(found)

    def _hold(self, view: str, start: int) -> int:
        if self._contextual is not None:
            return self._contextual.hold_from(view, start)
        return min(self._detector.hold(view[max(0, start - self._before) :]), len(view) - start)


class Follower:
    """The way through a text of a rule that counts from its beginning: every character is decided as it comes."""

    __slots__ = ("_count", "over", "place")

    def __init__(self, count: Count) -> None:
        self._count = count
        self.place = 0
        self.over = False
        """Asked of readers that may be passed over."""

    @property
    def needs_from(self) -> int:
        """It looks at nothing again."""
        return self.place

    def read(self, text: str, base: int, *, complete: bool) -> list[Finding]:
        """As :meth:`Reader.read`: what is too much of the text that came."""
        del complete
        origin, self.place = self.place, base + len(text)
        passed = self._count.feed(text[origin - base :])
        return [] if passed is None else [Finding(origin + passed[0], self.place, passed[1])]


def _reader(rule: Rule) -> Reader | Follower:
    counts = counting(rule.detector)
    return Reader(rule) if counts is None else Follower(counts.counter())


class Probe:
    """One pass over a text for all rules of a stream whose detectors can say beforehand what they look for."""

    __slots__ = ("_match", "_orders", "silent")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        probes = [(order, rule.detector.probe) for order, rule in enumerate(rules) if isinstance(rule.detector, Probed)]
        self._orders = [order for order, _ in probes]
        self._match = possible([probe for _, probe in probes]) if probes else None
        self.silent = frozenset(self._orders)
        """Rules that have nothing to say unless :meth:`ask` names them."""

    def ask(self, text: str) -> frozenset[int]:
        """Which of the rules, by their order, need not be asked about a text."""
        found = None if self._match is None else self._match(text)
        return self.silent if found is None else self.silent.difference([self._orders[i] for i in found])


class Rules:
    """The rules for one kind of text, sorted by when they can judge."""

    __slots__ = ("probe", "stream", "watching", "whole")

    def __init__(
        self,
        stream: tuple[Rule, ...] = (),
        whole: tuple[Rule, ...] = (),
        watching: tuple[Rule, ...] = (),
        probe: "Probe | None" = None,
    ) -> None:
        # Those that count come last, so that the others keep their places where these are left out.
        self.stream = tuple(sorted(stream, key=_counts))
        """Enforced, as the text comes."""
        self.whole = whole
        """Enforced, when it is complete."""
        self.watching = watching
        """Found and written down only."""
        self.probe = Probe(self.stream) if probe is None else probe
        """Which of :attr:`stream` may have something to say on a text."""

    def restoring(self, rule: Rule) -> "Rules":
        """With a rule of one call behind the others."""
        return Rules((*self.stream, rule), self.whole, self.watching, self.probe)

    @property
    def rewrites(self) -> bool:
        """Whether any of them changes a text."""
        return any(rule.rewrites for rule in (*self.stream, *self.whole))

    def located(self) -> "Rules":
        """Without those that are about an answer as a whole: what a model thinks need not have the answer's shape."""
        whole = tuple([rule for rule in self.whole if _locates(rule)])
        stream = tuple([rule for rule in self.stream if not _counts(rule)])
        return Rules(stream, whole, tuple([rule for rule in self.watching if _locates(rule)]), self.probe)


_Found = tuple[int, int, Finding, str]
"""Place, order of the rule, finding, its text."""


class Window:
    """One text on its way."""

    __slots__ = (
        "_base", "_choice", "_end", "_found", "_held", "_length", "_over", "_pending", "_readers", "_rules", "_said", "_tally",
        "_verdict", "edits", "released",
    )  # fmt: skip

    def __init__(self, rules: Rules, tally: Tally, choice: int | None = None) -> None:
        self._rules = rules
        self._readers = [_reader(rule) for rule in rules.stream]
        self._tally = tally
        self._choice = choice
        self._pending = ""
        """The text from character ``_base`` on."""
        self._base = 0
        self._length = 0
        self._found: list[_Found] = []
        """Findings not yet acted upon."""
        self._held: list[tuple[int, int, Edit]] = []
        """Edits that wait for those of the rules that judge the whole."""
        self._said: list[str] | None = [] if rules.whole or rules.watching else None
        self._verdict: OutputVerdict = ALLOW
        self._over = False
        self._end = 0
        self.released = 0
        """Characters from the beginning that may be shown, with the :attr:`edits` that begin among them."""
        self.edits: deque[Edit] = deque()
        """What is to be rewritten, in order, not overlapping; those that begin left of ``released`` are final. Who has shown text may
        take those away that end in it."""

    def feed(self, text: str) -> OutputVerdict:
        """More of the text. After a block nothing is released any more."""
        if text and not self._over:
            self._length += len(text)
            if self._said is not None:
                self._said.append(text)
            self._pending = self._pending + text if self._pending else text
            self._read(complete=False)
        return self._verdict

    def finish(self) -> OutputVerdict:
        """The text is complete. Asking again gives the same verdict."""
        if not self._over:
            self._read(complete=True)
        if not self._over and self._rules.whole:
            self._judge_whole()
        if not self._over:
            self._over = True
            self.released = self._length
            self._watch(None)
        return self._verdict

    def abandon(self) -> None:
        """The text will not be complete: write down what those who only watch find in what there is of it."""
        if not self._over:
            self._over = True
            self._watch(None)

    def _read(self, *, complete: bool) -> None:
        found = self._found
        place = keep = self._base + len(self._pending)
        silent = self._rules.probe.ask(self._pending)
        for order, reader in enumerate(self._readers):
            if order in silent and not reader.over:
                reader.place = self._base + len(self._pending)
                keep = min(keep, reader.needs_from)
                continue
            for f in reader.read(self._pending, self._base, complete=complete):
                found.append((f.start, order, f, self._pending[f.start - self._base : f.end - self._base]))
            place = min(place, reader.place)
            keep = min(keep, reader.needs_from)
        if found:
            found.sort(key=_order)
            known = [one for one in found if complete or one[0] < place]
            self._found = found[len(known) :]
            self._act(known, self._rules.stream)
            if self._over:
                return
        if not self._rules.whole:
            self.released = place
        self._pending = self._pending[keep - self._base :]
        self._base = keep

    def _judge_whole(self) -> None:
        text = "".join(self._said or ())
        rules = self._rules.whole
        found = [(f.start, i, f, text[f.start : f.end]) for i, rule in enumerate(rules) for f in rule.detector.find(text)]
        found.sort(key=_order)
        self._act(found, rules)
        self._held.sort(key=_order)
        for _, _, edit in self._held:
            self._keep(edit)

    def _act(self, found: list[_Found], rules: tuple[Rule, ...]) -> None:
        for place, order, finding, text in found:
            rule = rules[order]
            self._tally.add(rule, finding.what)
            if rule.blocks:
                self._verdict = rule.block(text, finding.what, self._choice)
                self._over = True
                if not self._rules.whole:
                    self.released = place
                self._watch(place)
                return
            edit = Edit(finding.start, finding.end, rule.written(text, finding.what))
            if self._rules.whole:
                self._held.append((place, order, edit))
            else:
                self._keep(edit)

    def _keep(self, edit: Edit) -> None:
        left = clipped(edit, self._end)
        if left is not None:
            self.edits.append(left)
            self._end = left.end

    def _watch(self, until: int | None) -> None:
        if self._rules.watching:
            text = "".join(self._said or ())[:until]
            for rule in self._rules.watching:
                for finding in rule.detector.find(text):
                    self._tally.add(rule, finding.what)


def _locates(rule: Rule) -> bool:
    """Whether it finds places in a text, rather than judging the whole of it."""
    return rule.detector.longest is not None or contextual(rule.detector) is not None


def _counts(rule: Rule) -> bool:
    """Whether it is about how much of a text there is."""
    return counting(rule.detector) is not None


def _order(one: tuple[int, int, object] | tuple[int, int, object, object]) -> tuple[int, int]:
    return one[0], one[1]
