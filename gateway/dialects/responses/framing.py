"""Answers in the chat form as response objects and as streams of response events."""

from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event, Usage
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.responses.objects import (
    error_event,
    failure_object,
    frame,
    outcome,
    response_object,
    usage_object,
)
from gateway.dialects.responses.output import Output
from gateway.wire.answers import Answer, decode_answer
from gateway.wire.openai import DECODE_ERRORS, encode


def whole(event: Event, request: ChatRequest, inbound: Inbound) -> bytes:
    """A chat completion as a response object. Raises ``upstream_invalid``."""
    answer = _read(event)
    choice = next((c for c in answer.choices if c.index == 0), None)
    if choice is None or choice.message is None:
        raise GatewayError(UPSTREAM_INVALID, "the provider's answer has no choice", cause=repr(event.data[:200]))
    output = Output(inbound)
    output.feed(choice.message, choice)
    status, details = outcome(choice.finish_reason)
    output.close(status)
    body = response_object(request, inbound)
    body |= {
        "status": status,
        "incomplete_details": details,
        "output": output.values(),
        "usage": usage_object(event.usage, None),
    }
    _said_by(answer, body)
    return encode(body)


class TranslatedFramer:
    """``Framer`` of one stream whose provider speaks the chat form."""

    def __init__(self, request: ChatRequest, inbound: Inbound) -> None:
        assert request.turn is not None
        self._turn = request.turn
        self._body = response_object(request, inbound)
        self._output = Output(inbound)
        self._sequence = 0
        self._finish: str | None = None
        self._begun = False

    def frames(self, events: list[Event]) -> bytes:
        """The events of the chunks. Raises ``upstream_invalid`` for a chunk that cannot be read."""
        out: list[bytes] = []
        for event in events:
            answer = _read(event)
            if not self._begun:
                self._begun = True
                _said_by(answer, self._body)
                out += [
                    self._frame("response.created", self._response()),
                    self._frame("response.in_progress", self._response()),
                ]
            for choice in answer.choices:
                if choice.index != 0:
                    continue
                if choice.delta is not None:
                    self._output.feed(choice.delta, choice)
                if choice.finish_reason is not None:
                    self._finish = choice.finish_reason
                    self._output.close(outcome(self._finish)[0])
            out += [self._frame(*step) for step in self._output.take()]
        return b"".join(out)

    def response(self, usage: Usage | None, cost: int | None) -> bytes:
        """The finished response object: what a store keeps. Closes what is open."""
        status, details = outcome(self._finish)
        self._output.close(status)
        self._body |= {
            "status": status,
            "incomplete_details": details,
            "output": self._output.values(),
            "usage": usage_object(usage, cost),
            "store": self._turn.keep,
        }
        return encode(self._body)

    def end(self, usage: Usage | None, cost: int | None) -> bytes:
        """``response.completed`` or ``response.incomplete``, after what was still open."""
        self.response(usage, cost)
        rest = [self._frame(*step) for step in self._output.take()]
        return b"".join([*rest, self._frame(f"response.{self._body['status']}", self._response())])

    def failure(self, error: GatewayError) -> bytes:
        """``response.failed`` with what there was, then ``error``, by which the SDKs raise."""
        failed = b""
        if self._begun:
            self._body |= {"status": "failed", "error": failure_object(error), "output": self._output.values(), "store": False}
            failed = self._frame("response.failed", self._response())
        return failed + error_event(error, self._sequence)

    def _response(self) -> dict[str, object]:
        return {"response": self._body}

    def _frame(self, kind: str, fields: dict[str, object]) -> bytes:
        number, self._sequence = self._sequence, self._sequence + 1
        return frame(kind, {"type": kind, "sequence_number": number, **fields})


def _read(event: Event) -> Answer:
    try:
        return decode_answer(event.data)
    except DECODE_ERRORS as error:
        raise GatewayError(
            UPSTREAM_INVALID, "the provider's answer cannot be translated", cause=f"{error}: {event.data[:200]!r}"
        ) from None


def _said_by(answer: Answer, body: dict[str, object]) -> None:
    """What the provider says of itself goes before what was asked for."""
    if answer.model:
        body["model"] = answer.model
    if answer.service_tier:
        body["service_tier"] = answer.service_tier
