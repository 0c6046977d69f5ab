"""Log lines: one JSON object each, and nothing in it that is not on the list."""

import logging
import sys
from collections.abc import Iterator

import msgspec
import pytest

from gateway.telemetry.logs import FIELDS, JsonLines, TextLines, configure


def record(message: str = "it %s", *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("gateway.test", logging.WARNING, __file__, 1, message, args or ("happened",), None)
    made.__dict__.update(extra)
    made.created, made.msecs = 1_760_000_000.0, 42.0
    return made


def test_a_line_is_one_json_object() -> None:
    formatter = JsonLines()
    formatter.converter = __import__("time").gmtime
    line = formatter.format(record(call_id="c", slot=3))
    assert "\n" not in line
    assert msgspec.json.decode(line) == {
        "time": "2025-10-09T08:53:20.042Z",
        "level": "warning",
        "logger": "gateway.test",
        "message": "it happened",
        "call_id": "c",
        "slot": 3,
    }


def test_what_is_not_on_the_list_does_not_slip_in() -> None:
    line = JsonLines().format(record(authorization="Bearer pg_secret", body="my diary", kind="internal"))
    assert "secret" not in line
    assert "diary" not in line
    assert msgspec.json.decode(line)["kind"] == "internal"


@pytest.mark.parametrize("field", FIELDS)
def test_every_listed_field_is_shown_and_bounded(field: str) -> None:
    assert len(msgspec.json.decode(JsonLines().format(record(**{field: "x" * 9000})))[field]) == 2000


def test_a_line_break_cannot_forge_a_line() -> None:
    line = JsonLines().format(record('a%s\n{"level":"info"}', detail="x\ny"))
    assert "\n" not in line
    assert "\n" not in TextLines().format(record(detail="x\ny"))


def test_a_traceback_has_frames_but_no_local_variables() -> None:
    secret = "my private prompt"  # noqa: F841 - stands for what a frame holds
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        made = record()
        made.exc_info = sys.exc_info()
    line = msgspec.json.decode(JsonLines().format(made))
    assert "ZeroDivisionError" in line["traceback"]
    assert "test_a_traceback" in line["traceback"]
    made.exc_info = (None, None, None)
    assert "traceback" not in msgspec.json.decode(JsonLines().format(made))


def test_text_for_a_terminal() -> None:
    assert TextLines().format(record(pid=7)).endswith("warning gateway.test: it happened pid=7")


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    chatty = {
        name: logging.getLogger(name).level for name in ("httpx", "httpcore", "uvicorn.access", "asyncio", "opentelemetry")
    }
    yield root
    root.handlers[:] = before
    root.setLevel(level)
    for name, kept in chatty.items():
        logging.getLogger(name).setLevel(kept)


@pytest.mark.parametrize(("form", "kind"), [("json", JsonLines), ("text", TextLines)])
def test_configuring_replaces_what_was_there(root: logging.Logger, form: str, kind: type[logging.Formatter]) -> None:
    configure("debug", form)
    configure("warning", form)
    (handler,) = root.handlers
    assert isinstance(handler.formatter, kind)
    assert root.level == logging.WARNING
    assert logging.getLogger("httpx").level == logging.WARNING
