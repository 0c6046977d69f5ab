"""What a model says in the chat form -> output items, step by step, with an event for every step.

A whole answer takes the same way in one step, so both forms of an answer agree.
"""

from abc import ABC, abstractmethod

from msgspec import Raw

from gateway.core.requests import Inbound
from gateway.dialects.responses.objects import item_id
from gateway.dialects.responses.thoughts import signed_thoughts
from gateway.wire.answers import Choice, Said, ToolCall, UrlCitation, citations_of, reasoning_of

Step = tuple[str, dict[str, object]]
"""(type, fields) of an event, still without its sequence number."""


class _Item(ABC):
    """An output item. ``steps`` is where its events go."""

    prefix = ""

    def __init__(self, output: "Output") -> None:
        self.index = len(output.items)
        self.id = item_id(output.inbound, self.prefix, self.index)
        self._steps = output.steps
        output.items.append(self)

    @abstractmethod
    def value(self, status: str) -> dict[str, object]:
        """The item as it stands."""

    def close(self, status: str) -> None:
        """The item is complete, or never will be."""
        self._steps.append(("response.output_item.done", {"output_index": self.index, "item": self.value(status)}))

    def _added(self, value: dict[str, object]) -> None:
        self._steps.append(("response.output_item.added", {"output_index": self.index, "item": value}))

    def _step(self, kind: str, **fields: object) -> None:
        self._steps.append((kind, {"item_id": self.id, "output_index": self.index, **fields}))


class _Reasoning(_Item):
    """Reasoning that the provider shows, as a summary: the only readable form that clients of this API know."""

    prefix = "rs"

    def __init__(self, output: "Output") -> None:
        super().__init__(output)
        self._texts: list[str] = []
        self.signed: str | None = None
        """``encrypted_content``."""
        self._added({"id": self.id, "type": "reasoning", "summary": [], "status": "in_progress"})

    def value(self, status: str) -> dict[str, object]:
        summary = [{"type": "summary_text", "text": self.text}] if self._texts else []
        value: dict[str, object] = {"id": self.id, "type": "reasoning", "summary": summary, "status": status}
        return value if self.signed is None else {**value, "encrypted_content": self.signed}

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._texts)

    def feed(self, text: str) -> None:
        if not self._texts:
            self._step("response.reasoning_summary_part.added", summary_index=0, part={"type": "summary_text", "text": ""})
        self._texts.append(text)
        self._step("response.reasoning_summary_text.delta", summary_index=0, delta=text)

    def close(self, status: str) -> None:
        text = self.text
        if text:
            self._step("response.reasoning_summary_text.done", summary_index=0, text=text)
            self._step("response.reasoning_summary_part.done", summary_index=0, part={"type": "summary_text", "text": text})
        super().close(status)


class _Message(_Item):
    """A message of one part: text or a refusal."""

    prefix = "msg"

    def __init__(self, output: "Output", *, refusal: bool) -> None:
        super().__init__(output)
        self.refusal = refusal
        self._texts: list[str] = []
        self._logprobs: list[Raw] = []
        self._annotations: list[dict[str, object]] = []
        self._added({"id": self.id, "type": "message", "status": "in_progress", "role": "assistant", "content": []})
        self._step("response.content_part.added", content_index=0, part=self._part())

    def value(self, status: str) -> dict[str, object]:
        return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": [self._part()]}

    def _part(self) -> dict[str, object]:
        text = "".join(self._texts)
        if self.refusal:
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": list(self._annotations), "logprobs": list(self._logprobs)}

    def feed(self, text: str, logprobs: list[Raw]) -> None:
        self._texts.append(text)
        if self.refusal:
            self._step("response.refusal.delta", content_index=0, delta=text)
            return
        self._logprobs += logprobs
        self._step("response.output_text.delta", content_index=0, delta=text, logprobs=logprobs)

    def cite(self, found: UrlCitation) -> None:
        """A page that the text cites."""
        note: dict[str, object] = {
            "type": "url_citation",
            "start_index": found.start_index,
            "end_index": found.end_index,
            "url": found.url,
            "title": found.title,
        }
        number = len(self._annotations)
        self._annotations.append(note)
        self._step("response.output_text.annotation.added", content_index=0, annotation_index=number, annotation=note)

    def close(self, status: str) -> None:
        text = "".join(self._texts)
        if self.refusal:
            self._step("response.refusal.done", content_index=0, refusal=text)
        else:
            self._step("response.output_text.done", content_index=0, text=text, logprobs=self._logprobs)
        self._step("response.content_part.done", content_index=0, part=self._part())
        super().close(status)


class _Call(_Item):
    """A function call. It is announced when its name is known."""

    prefix = "fc"

    def __init__(self, output: "Output") -> None:
        super().__init__(output)
        self._call_id = item_id(output.inbound, "call", self.index)
        self._name = ""
        self._arguments: list[str] = []
        self._announced = False

    def value(self, status: str) -> dict[str, object]:
        arguments = "".join(self._arguments) if status != "in_progress" else ""
        return {
            "id": self.id,
            "type": "function_call",
            "status": status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": arguments,
        }

    def feed(self, part: ToolCall) -> None:
        if part.id and not self._announced:
            self._call_id = part.id
        name = part.function.name if part.function else None
        if name and not self._announced:
            self._name = name
            self._announce()
        arguments = part.function.arguments if part.function else None
        if arguments:
            self._arguments.append(arguments)
            if self._announced:
                self._step("response.function_call_arguments.delta", delta=arguments)

    def is_another(self, part: ToolCall) -> bool:
        """Whether a piece begins a new call: Google's OpenAI endpoint gives all calls the same index, but each its id."""
        named = part.function is not None and bool(part.function.name)
        return self._announced and named and bool(part.id) and part.id != self._call_id

    def close(self, status: str) -> None:
        if not self._announced:
            self._announce()
        self._step("response.function_call_arguments.done", arguments="".join(self._arguments), name=self._name)
        super().close(status)

    def _announce(self) -> None:
        self._announced = True
        self._added(self.value("in_progress"))
        if self._arguments:
            self._step("response.function_call_arguments.delta", delta="".join(self._arguments))


class Output:
    """The output of one response. Steps gather in ``steps`` until somebody takes them."""

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound
        self.items: list[_Item] = []
        self.steps: list[Step] = []
        self._current: _Reasoning | _Message | None = None
        self._calls: dict[int, _Call] = {}
        """Open function calls by their index in the chat form: parallel ones may come interleaved."""
        self._statuses: dict[int, str] = {}

    def feed(self, said: Said, choice: Choice) -> None:
        """Take a message or a delta."""
        reasoning = reasoning_of(said)
        if reasoning:
            self._reasoning().feed(reasoning)
        signed = signed_thoughts(said, self._current.text if isinstance(self._current, _Reasoning) else "")
        if signed is not None:
            # Before what is signed, where it comes with it; a signature may also come behind its text.
            self._reasoning().signed = signed
            self._close_current("completed")
        logprobs = (choice.logprobs.content if choice.logprobs else None) or []
        if said.content:
            self._message(refusal=False).feed(said.content, logprobs)
        for citation in citations_of(said):
            self._message(refusal=False).cite(citation)
        if said.refusal:
            self._message(refusal=True).feed(said.refusal, [])
        for position, part in enumerate(said.tool_calls or ()):
            self._close_current("completed")
            index = position if part.index is None else part.index
            call = self._calls.get(index)
            if call is not None and call.is_another(part):
                self._close_call(self._calls.pop(index), "completed")
                call = None
            if call is None:
                call = self._calls[index] = _Call(self)
            call.feed(part)

    def close(self, status: str) -> None:
        """Close what is open; ``status`` is ``completed`` or ``incomplete``."""
        self._close_current(status)
        for call in self._calls.values():
            self._close_call(call, status)
        self._calls.clear()

    def take(self) -> list[Step]:
        """The steps since the last time."""
        steps = self.steps.copy()
        self.steps.clear()
        return steps

    def values(self) -> list[dict[str, object]]:
        """The items as they stand: what is still open is ``in_progress``."""
        return [item.value(self._statuses.get(item.index, "in_progress")) for item in self.items]

    def _reasoning(self) -> _Reasoning:
        current = self._current
        if isinstance(current, _Reasoning):
            return current
        self._close_current("completed")
        made = self._current = _Reasoning(self)
        return made

    def _message(self, *, refusal: bool) -> _Message:
        current = self._current
        if isinstance(current, _Message) and current.refusal == refusal:
            return current
        self._close_current("completed")
        made = self._current = _Message(self, refusal=refusal)
        return made

    def _close_call(self, call: _Call, status: str) -> None:
        self._statuses[call.index] = status
        call.close(status)

    def _close_current(self, status: str) -> None:
        current = self._current
        if current is not None:
            self._current = None
            self._statuses[current.index] = status
            current.close(status)
