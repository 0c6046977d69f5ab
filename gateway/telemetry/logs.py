"""Logs: one JSON object (or one readable line) per event, with an allow-list of fields so that nothing private slips in."""

import logging
import sys
import time
import traceback
from typing import Any

import msgspec

FIELDS = ("call_id", "trace_id", "kind", "detail", "cause", "target", "slot", "pid", "path", "generation", "error")
"""What may be attached to a line with ``extra=``; everything else is left out."""

_encode = msgspec.json.Encoder().encode
_LONGEST = 2_000
"""Characters of any one field: a provider's page of HTML must not fill the disk."""


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (RFC 3339, UTC), level, logger, message and the allowed fields."""
        return _encode(_line(self, record)).decode()


class TextLines(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """``time level logger message key=value ...``."""
        line = _line(self, record)
        head = f"{line.pop('time')} {line.pop('level'):<7} {line.pop('logger')}: {line.pop('message')}"
        return " ".join([head, *(f"{k}={v!r}" for k, v in line.items())])


def _line(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "time": formatter.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage()[:_LONGEST],
    }
    for name in FIELDS:
        value = getattr(record, name, None)
        if value is not None:
            line[name] = value if isinstance(value, int | float) else str(value)[:_LONGEST]
    if record.exc_info and record.exc_info[1] is not None:
        # Frames without local variables: those hold prompts and keys.
        line["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))[-4 * _LONGEST :]
    return line


def configure(level: str, form: str) -> None:
    """Set up the root logger once, to stderr. ``form`` is ``json`` or ``text``."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonLines() if form == "json" else TextLines()
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("httpx", "httpcore", "uvicorn.access", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Why a batch of spans was lost is worth a line, each of its repetitions is not.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
