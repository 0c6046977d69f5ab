"""What the pipeline asks of a provider and of the wire to it: values and ports, no sockets."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, runtime_checkable

from msgspec import Raw, Struct

from gateway.core.conversation import Conversation
from gateway.core.errors import GatewayError
from gateway.core.events import Event


class Timeouts(Struct, frozen=True):
    """Seconds. ``total`` bounds the whole exchange; the pipeline shortens it to what is left of the call's deadline."""

    connect: float = 2.0
    """TCP and TLS handshakes together."""
    first_byte: float = 60.0
    """From the request's last byte to the first byte of the answer's head."""
    idle: float = 30.0
    """Between two reads of the answer."""
    total: float = 600.0
    """The openai SDK's own read timeout; longer helps nobody."""
    first_token: float | None = None
    """From the start of an attempt to the first content of a stream, or to the head of a whole answer; None: only the others."""


class Target(Struct, frozen=True):
    """One (provider, upstream model): what a route lists and an attempt is made against."""

    provider: str
    model: str
    base_url: str
    """Scheme, host, port and path prefix, no trailing slash (``https://api.openai.com/v1``); ``echo:`` for the built-in one."""
    api_key: str
    timeouts: Timeouts = Timeouts()
    credential: str | None = None
    """The id of the stored credential that ``api_key`` is; None: it is the configuration's."""


class HttpRequest(Struct, frozen=True):
    """What a translator asks to have sent."""

    path: str
    """Appended to the target's ``base_url`` (``/chat/completions``)."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Without ``host``, ``content-length``, ``connection``, ``accept-encoding``: those are the transport's."""
    body: bytes
    method: bytes = b"POST"
    """``POST``, ``GET`` or ``DELETE``. The transport says the body's length, except for the other two without a body."""


CHAT = "chat"
"""The name of the common dialect: OpenAI's Chat Completions API. Every translator speaks it."""


MESSAGES = "messages"
"""Anthropic's Messages API."""


class UpstreamCall(Struct, frozen=True, gc=False):
    """One call as a provider is to make it, in the field's common (OpenAI chat) terms."""

    model: str
    conversation: Conversation
    stream: bool
    fields: Mapping[str, Raw]
    """Every other body field, already merged: stored defaults under the caller's overrides. In chat terms."""
    dialect: str = CHAT
    """The dialect of the exchange with the provider: the caller's own if the translator speaks it, else ``chat``. Events come in
    this dialect. With another dialect than chat, ``native`` and ``stored`` count instead of ``fields``, and
    :attr:`~gateway.core.conversation.Message.native` where it is given."""
    native: Mapping[str, Raw] = {}
    """The caller's fields in its own dialect, byte for byte."""
    stored: Mapping[str, Raw] = {}
    """Stored defaults that the caller did not give, in chat terms: to be put into the dialect by the translator."""
    headers: Mapping[bytes, bytes] = {}
    """The caller's headers that belong to its dialect (``anthropic-version``); sent on only in a native exchange."""


class StreamDecoder(Protocol):
    """The incremental reading of one streamed answer."""

    done: bool
    """Whether the stream's true end was read."""
    failure: GatewayError | None
    """What ended the stream, once ``feed`` has given the events before it: how a stream was cut into reads changes nothing."""

    def feed(self, data: bytes) -> list[Event]:
        """Events that ``data`` completes, up to a broken one or an error: then ``failure`` is set."""
        ...

    def end(self) -> None:
        """The connection ended. Raises ``upstream_incomplete`` unless the stream had its true end."""
        ...


class Translator(Protocol):
    """A provider family: our call to its bytes, its bytes to our events. Pure; ``request`` may run again on a retry."""

    @property
    def speaks(self) -> frozenset[str]:
        """The dialects an exchange can be held in: always ``chat``, and the provider's own ones (``messages``, ``responses``)."""
        ...

    @property
    def stream_type(self) -> bytes:
        """How the media type of a streamed answer begins (``text/event-stream``)."""
        ...

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """The call in the provider's form. Raises ``malformed`` naming a field that it cannot be given."""
        ...

    def answer(self, body: bytes, dialect: str, model: str = "") -> Event:
        """The whole, non-streamed answer, as an event in ``dialect``. ``model`` was asked for: providers' answers may not name it.

        Raises ``upstream_invalid``.
        """
        ...

    def decoder(self, dialect: str, model: str = "") -> StreamDecoder:
        """A reader for one streamed answer, giving events in ``dialect``; ``model`` as in :meth:`answer`."""
        ...

    def failure(self, target: Target, status: int, headers: Mapping[bytes, bytes], body: bytes) -> GatewayError:
        """What a non-2xx answer means, judged by status and structured fields, never by prose."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A translator whose provider counts the tokens of an input by itself, in the dialect ``messages``."""

    def count_request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        """The question."""
        ...

    def counted(self, body: bytes) -> int:
        """The answer's number. Raises ``upstream_invalid``."""
        ...


class Exchange(Protocol):
    """One answer being received: the head is in, the body is to come. Close it exactly once, whatever happened."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """Lower-case names; of repeated headers the last."""
        ...

    def read(self, limit: int) -> Coroutine[Any, Any, bytes]:
        """The whole body. Raises ``upstream_invalid`` above ``limit`` bytes, ``upstream_incomplete``, ``upstream_timeout``."""
        ...

    def chunk(self) -> Coroutine[Any, Any, bytes]:
        """The body bytes that have arrived since the last call, at least one; ``b""`` at the true end. Raises as ``read``."""
        ...

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, else close it (which cancels the upstream's work)."""
        ...


class Sent(Protocol):
    """A request of whose answer somebody is told instead of waiting for it. Ends by ``take_up``, or by one of the last two."""

    def dispatch(self, arrived: Callable[[], None]) -> None:
        """Send it.

        ``arrived`` is called from the event loop, once: when the whole answer is in, when it failed, or when it is so long
        that somebody has to read it. Where :meth:`body_now` has nothing then, ``take_up`` tells.
        """
        ...

    def body_now(self, limit: int) -> bytes | None:
        """The body, if the answer is a 200, all in, and of at most ``limit`` bytes. It can be had again."""
        ...

    def release(self) -> None:
        """The answer has been used."""
        ...

    def drop(self) -> None:
        """Nobody wants the answer any more: close the connection, which cancels the upstream's work, and tell nobody."""
        ...


class Transport(Protocol):
    """The way to upstreams. Twins: own HTTP/1.1 client, httpx client, in-process."""

    def is_ready(self, target: Target) -> bool:
        """Whether :meth:`prepare` has something to give."""
        del target
        return False

    def prepare(self, target: Target, request: HttpRequest, deadline: float) -> Sent | None:
        """A request as :meth:`send` makes it, to be sent at once by whoever cannot wait; None where no connection is at hand.

        Raises ``internal`` for what cannot be sent.
        """
        del target, request, deadline
        return None

    async def take_up(self, sent: Sent, target: Target, request: HttpRequest, deadline: float) -> Exchange:
        """Go on as :meth:`send` with what was sent, once it has arrived. The arguments are those of :meth:`prepare`."""
        del sent, target, request, deadline
        raise RuntimeError("nothing was prepared here")

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> Exchange:
        """Send and wait for the answer's head; ``deadline`` is monotonic seconds.

        Raises ``upstream_unreachable``, ``upstream_timeout``, ``upstream_incomplete``, ``upstream_invalid``, ``deadline``.
        Cancelling closes the connection.
        """
        ...

    async def close(self) -> None: ...
