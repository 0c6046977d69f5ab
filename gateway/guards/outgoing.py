"""One answer on its way out: its texts, each behind a window, and its tool calls, each judged when it is complete."""

from collections.abc import Mapping

from gateway.core.verdicts import ALLOW, Block, Note, OutputVerdict
from gateway.guards.masks import Placeholders
from gateway.guards.rules import Rule, Tally
from gateway.guards.stream import Rules, Window
from gateway.guards.tools import ToolCall, judge_call
from gateway.wire.chat_said import TextField
from gateway.wire.chat_texts import Call

MAX_ASIDES = 256
"""Texts beside those of the API that one streamed answer may have on their way: servers that have any have a handful per choice."""
_RESTORING = "masks"
"""What the rule is called that puts values back; nobody ever hears of it."""


class CallTrack:
    """One tool call on its way: pieces until it is complete, then its arguments as they may be shown."""

    __slots__ = ("arguments", "changed", "complete", "name", "plain", "written")

    def __init__(self) -> None:
        self.name = ""
        self.arguments = ""
        self.plain = False
        self.complete = False
        """Whether it was judged; it may be shown then."""
        self.changed = False
        """Whether :attr:`arguments` are no longer what came."""
        self.written = False
        """Whether changed arguments have been put into an event."""

    def add(self, call: Call) -> None:
        """A piece of it."""
        if call.custom is not None:
            self.plain = True
            self.name += call.custom.name or ""
            self.arguments += call.custom.input or ""
        elif call.function is not None:
            self.name += call.function.name or ""
            self.arguments += call.function.arguments or ""


class Outgoing:
    """The judge of one answer. After a block nothing is released any more."""

    __slots__ = (
        "_aside", "_asides", "_calls", "_open", "_reasoning", "_tally", "_texts", "_tools", "_tools_tally", "_windows", "judges_calls",
    )  # fmt: skip

    def __init__(self, texts: Rules, tools: tuple[Rule, ...], masks: Mapping[str, str], notes: list[Note]) -> None:
        self._aside = texts.located()
        """Without masks: what is said again elsewhere, and signed thoughts, go to the caller as the model wrote them."""
        if masks:
            # Last of all: where something else is found in the same place, that counts.
            restore = Rule(_RESTORING, Placeholders(masks), "replace", restores=masks)
            texts = texts.restoring(restore)
            tools = (*tools, restore)
        self._texts = texts
        self._reasoning = texts.located()
        self._tools = tools
        self._tally = Tally("post", notes)
        self._tools_tally = Tally("tools", notes)
        self._windows: dict[tuple[int, TextField], Window] = {}
        self._asides: dict[tuple[int, str], Window] = {}
        self._calls: dict[tuple[int, int], CallTrack] = {}
        self._open: dict[int, tuple[int, CallTrack]] = {}
        """By choice, the call that is not complete."""
        self.judges_calls = bool(tools)

    def window(self, choice: int, field: TextField) -> Window:
        """Of one text of the answer."""
        key = (choice, field)
        window = self._windows.get(key)
        if window is None:
            rules = self._texts if field in {"content", "refusal"} else self._reasoning
            window = self._windows[key] = Window(rules, self._tally, choice)
        return window

    def aside(self, choice: int, path: str, *, grows: bool) -> Window | None:
        """Of a text beside those of the API; what does not grow is judged by itself. None: there are too many to be followed."""
        if not grows:
            return Window(self._aside, self._tally, choice)
        window = self._asides.get((choice, path))
        if window is None and len(self._asides) < MAX_ASIDES:
            window = self._asides[choice, path] = Window(self._aside, self._tally, choice)
        return window

    def text(self, choice: int, field: TextField, text: str) -> OutputVerdict:
        """More of a text."""
        return self.window(choice, field).feed(text)

    def call(self, choice: int, index: int, call: Call) -> OutputVerdict:
        """More of a tool call. Providers send calls one after the other, so one that follows completes the one before."""
        if call.custom is not None and call.function is not None:
            return Block("tools", "a tool call is of two kinds", choice)
        track = self.track(choice, index)
        current = self._open.get(choice)
        verdict: OutputVerdict = ALLOW
        if current is not None and current[0] != index:
            verdict = self.finish_calls(choice)
        if track.complete:
            return verdict if verdict is not ALLOW else Block("tools", "a tool call went on after its end", choice)
        self._open[choice] = (index, track)
        track.add(call)
        return verdict

    def track(self, choice: int, index: int) -> CallTrack:
        """One tool call of the answer."""
        key = (choice, index)
        track = self._calls.get(key)
        if track is None:
            track = self._calls[key] = CallTrack()
        return track

    def finish_calls(self, choice: int) -> OutputVerdict:
        """The tool call of a choice that was on its way is complete."""
        current = self._open.pop(choice, None)
        if current is None:
            return ALLOW
        track = current[1]
        call = ToolCall(track.name, track.arguments, track.plain)
        arguments = judge_call(call, self._tools, self._tools_tally, Rule.written, choice)
        if isinstance(arguments, Block):
            return arguments
        track.changed = arguments != track.arguments
        track.arguments = arguments
        track.complete = True
        return ALLOW

    def end(self) -> OutputVerdict:
        """The answer is complete: judge what is left, in order of choices."""
        for choice in sorted(self._open):
            verdict = self.finish_calls(choice)
            if verdict is not ALLOW:
                return verdict
        for windows in (self._windows, self._asides):
            for _, window in sorted(windows.items(), key=_place):
                verdict = window.finish()
                if verdict is not ALLOW:
                    return verdict
        return ALLOW

    def abandon(self) -> None:
        """The answer will not be complete: write down what was found by those who only watch."""
        for window in (*self._windows.values(), *self._asides.values()):
            window.abandon()


def _place(one: tuple[tuple[int, str], Window]) -> tuple[int, str]:
    return one[0]
