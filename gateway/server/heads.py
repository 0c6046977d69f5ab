"""The head that a connection sends again and again, recognised without parsing it."""

from weakref import WeakValueDictionary

from msgspec import Struct

from gateway.edge.openai import HotRoute
from gateway.pipeline.receive import is_bare
from gateway.server.reply import HotReply

_LENGTH_DIGITS = 9
"""Of a repeated ``content-length``: more than any body that is let in."""


class RepeatedHead(Struct, frozen=True, weakref=True):
    """The head of a connection's last hot request, to recognise the next one by.

    A client sends the same head again and again, but for the length of the body. A head that is equal byte for byte, digits of the
    length apart, means to the parser what the last one meant, so it need not be parsed again (ten microseconds of fifteen callbacks).
    Anything else, a byte's difference or a request that did not come in one read, goes to the parser as if this were not here.
    """

    before: bytes
    """Everything up to the digits of ``content-length``."""
    after: bytes
    """Everything from the digits to the end of the head."""
    route: HotRoute
    known: dict[bytes, bytes]
    bare: bool
    """As :attr:`gateway.core.requests.Inbound.bare`."""

    def body_of(self, data: bytes) -> bytes | None:
        """The body, if ``data`` is exactly one request with this head."""
        start = len(self.before)
        end = data.find(b"\r", start, start + _LENGTH_DIGITS + 1)
        if not (data.startswith(self.before) and data.startswith(self.after, end)):
            return None
        body = data[end + len(self.after) :]
        return body if data[start:end] == b"%d" % len(body) else None


class Heads:
    """The heads that connections of one worker repeat: one of each, as long as any of them does.

    The connections of a client send the same head, which is then read once for all of them into the processor's caches.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[bytes, bytes], RepeatedHead] = WeakValueDictionary()

    def shared(self, learnt: RepeatedHead | None) -> RepeatedHead | None:
        """The one that is equal to it byte for byte, if there is one already."""
        return None if learnt is None else self._held.setdefault((learnt.before, learnt.after), learnt)


def learn(data: bytes, headers: list[tuple[bytes, bytes]], cycle: object) -> RepeatedHead | None:
    """The head in ``data``, which began with it and was parsed into ``headers`` and ``cycle``; None unless it may be repeated."""
    if not isinstance(cycle, HotReply) or not cycle.keep_alive:
        return None
    names = [name for name, _ in headers]
    if names.count(b"content-length") != 1 or b"transfer-encoding" in names or b"expect" in names:
        return None
    if any(name == b"connection" and value.lower() != b"keep-alive" for name, value in headers):
        return None
    head = data[: data.find(b"\r\n\r\n")]
    start = head.lower().find(b"\r\ncontent-length:") + len(b"\r\ncontent-length:")
    while head[start : start + 1] == b" ":
        start += 1
    end = start + len(head[start:].partition(b"\r")[0])
    if not head[start:end].isdigit() or end - start > _LENGTH_DIGITS:
        return None
    return RepeatedHead(head[:start], head[end:] + b"\r\n\r\n", cycle.route, cycle.headers, is_bare(cycle.headers))
