r"""Server-sent events, received: bytes in any chunking to the data of whole events.

The rules are those of the WHATWG HTML standard, section 9.2.6 (interpreting an event stream): CRLF, LF and CR end a
line, several ``data`` lines join with LF, comments and unknown fields are ignored, an event without ``data`` is no event,
an event that the end of the stream cuts short is dropped. ``event``, ``id`` and ``retry`` are not kept: the chat dialects
repeat the event's type inside its JSON, and nobody reconnects to a completion.

Almost every stream is ``data: {...}\n\n`` again and again; such input is cut by two C calls per read, whatever the
number of events in it. Everything else takes the line-by-line way. Both are linear in the bytes fed, however they are cut.
"""

from gateway.core.errors import UPSTREAM_INVALID, GatewayError

MAX_EVENT_BYTES = 1 << 20
"""No model emits a token, a tool call or a picture part near 1 MiB in one event; a stream that does is broken or hostile."""

_BETWEEN = b" "
"""Joins the lines of one event's data. The standard says LF; all that is read here is JSON, where the two mean the same, and what is
framed again for a caller must be one line."""
_BOM = b"\xef\xbb\xbf"


class SseParser:
    """The incremental reading of one event stream. One object per answer; not for use by two tasks at once."""

    __slots__ = ("_data", "_held", "_held_size", "_limit", "_size", "_skip_lf", "_start")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._start = True
        self._held: list[bytes] = []
        """The unfinished last line, in the pieces it came in; free of line ends."""
        self._held_size = 0
        self._data: list[bytes] | None = None
        """The ``data`` lines of the unfinished event; None when it has none yet."""
        self._size = 0
        self._skip_lf = False
        """The last byte seen was CR: a LF that comes first in the next read belongs to it."""

    @property
    def pending(self) -> bool:
        """Whether an event has begun that no blank line has ended; at the end of the stream: whether it was cut."""
        return bool(self._held) or self._data is not None

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that ``data`` completes, in order. Raises ``upstream_invalid`` for an event over the cap."""
        if self._start:
            data = self._without_bom(data)
        if self._held:
            if b"\n" not in data and b"\r" not in data:
                self._hold(data)
                return []
            self._held.append(data)
            data = b"".join(self._held)
            self._held.clear()
            self._held_size = 0
        if (
            self._data is None
            and not self._skip_lf
            and data.startswith(b"data: ")
            and b"\r" not in data
            and len(data) <= self._limit
        ):
            end = data.rfind(b"\n\n")
            if end > 0:
                events = data[6:end].split(b"\n\ndata: ")
                # Every LF belongs to a separator, so no event has a second line of any kind.
                if data.count(b"\n", 0, end) == 2 * len(events) - 2:
                    if end + 2 != len(data):
                        self._lines(data[end + 2 :])
                    return events
        return self._lines(data)

    def _without_bom(self, data: bytes) -> bytes:
        data = b"".join((*self._held, data))
        self._held.clear()
        self._held_size = 0
        if len(data) < len(_BOM) and _BOM.startswith(data):
            if data:
                self._hold(data)
            return b""
        self._start = False
        return data.removeprefix(_BOM)

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_size += len(data)
        self._check(self._held_size + self._size)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise GatewayError(UPSTREAM_INVALID, f"The provider sent an event of more than {self._limit} bytes.")

    def _lines(self, data: bytes) -> list[bytes]:
        if self._skip_lf and data:
            data = data.removeprefix(b"\n")
            self._skip_lf = False
        lines = data.splitlines()
        if data.endswith(b"\r"):
            self._skip_lf = True
        elif lines and not data.endswith(b"\n"):
            self._hold(lines.pop())
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data is not None:
                    events.append(self._data[0] if len(self._data) == 1 else _BETWEEN.join(self._data))
                    self._data = None
                self._size = 0
                continue
            name, _, value = line.partition(b":")
            if name == b"data":
                self._size += len(line) + 1
                self._check(self._size)
                if self._data is None:
                    self._data = []
                self._data.append(value.removeprefix(b" "))
        return events
