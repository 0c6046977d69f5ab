"""Requests and answers of the Responses API, made short."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gateway.core.events import Event
from gateway.core.requests import ChatRequest, Inbound
from gateway.dialects.responses.dialect import RESPONSES_DIALECT

CALL_ID = "01990000-0000-7000-8000-000000000001"


def inbound(body: object, **headers: str) -> Inbound:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Inbound("responses", given, data, CALL_ID, CALL_ID, 1_760_000_000_000, 1.0, 60.0)


def read(**body: object) -> ChatRequest:
    return RESPONSES_DIALECT.read(inbound({"model": "m", "input": "hi", **body}))


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **choice: object) -> Event:
    data = {"model": "gpt-x", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish, **choice}]}
    return Event(msgspec.json.encode(data))


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """The payloads of a stream; each frame's name is its payload's type."""
    found: list[dict[str, Any]] = []
    for frame in stream.decode().removesuffix("\n\n").split("\n\n"):
        name, data = frame.split("\n")
        event = msgspec.json.decode(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


@pytest.fixture
def ask() -> Callable[..., ChatRequest]:
    return read
