"""A whole pipeline from memory twins: stores, ledger, scripted providers and a recording caller, with one list of what happened when."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core.dialect import Dialect
from gateway.core.documents import Guardrails, KeyDocument, MessageTemplate, PostValidation, PreValidation, VersionContent
from gateway.core.errors import CLIENT_GONE, LEDGER_FULL, GatewayError
from gateway.core.journal import Journal
from gateway.core.keys import PLAIN, make
from gateway.core.ledger import Ending, Intent, LedgerRow
from gateway.core.ports import Workbench
from gateway.core.requests import Inbound
from gateway.core.stored import Keeping
from gateway.core.upstream import HttpRequest, Target, Translator
from gateway.dialects.chat import CHAT_DIALECT
from gateway.limits.tokens import Measure
from gateway.pipeline.consulting.examples import Examples
from gateway.pipeline.express import Departed, depart
from gateway.pipeline.limits import Limits
from gateway.pipeline.memory import Memory
from gateway.pipeline.permits import Permits
from gateway.pipeline.receive import Receiver
from gateway.pipeline.releases import Releases
from gateway.pipeline.seeding import Seeding
from gateway.pipeline.serve import serve
from gateway.pipeline.services import GuardEndpoint, Provider, Services
from gateway.pricing.table import load_prices
from gateway.providers.openai import OpenAITranslator
from gateway.routing.breaker import Breaker, BreakerRules
from gateway.routing.table import Route, RouteTable
from gateway.storage.memory.answers import MemoryAnswers
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.memory.catalog import MemoryCatalog
from gateway.storage.memory.leases import MemoryLeases
from gateway.storage.memory.ledger import MemoryLedger
from gateway.storage.memory.limits import MemoryLimits
from gateway.storage.memory.spending import MemorySpending

PRICES = load_prices((Path(__file__).parents[3] / "config" / "prices.toml").read_bytes())
TICK = 0.001
STARTED_MS = 1_760_000_000_000
Piece = bytes | float | BaseException | asyncio.Event


class Clock:
    """Monotonic seconds that pass a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 600.0

    def __call__(self) -> float:
        self.now += TICK
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Time passes, and others get a turn."""
        self.now += seconds
        await asyncio.sleep(0)


class OrderedLedger(MemoryLedger):
    """Says when it was written to."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps
        self.full = False

    def intend(self, intent: Intent) -> None:
        if self.full:
            raise GatewayError(LEDGER_FULL, "the spool is full")
        self.steps.append(f"intent {intent.attempt}")
        super().intend(intent)

    def append(self, intent: Intent, ending: Ending) -> None:
        self.steps.append(f"row {intent.attempt} {ending.outcome}")
        super().append(intent, ending)


class Exchange:
    """A provider's answer in pieces: bytes, seconds that pass, an exception to raise, or an event to wait for."""

    clock: Clock | None = None

    def __init__(self, status: int, content_type: bytes, pieces: Sequence[Piece]) -> None:
        self.status = status
        self.headers: Mapping[bytes, bytes] = {b"content-type": content_type}
        self.pieces = list(pieces)
        self.closed = 0

    async def chunk(self) -> bytes:
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            elif isinstance(piece, BaseException):
                raise piece
            elif isinstance(piece, float):
                assert self.clock is not None
                self.clock.now += piece
            else:
                return piece
        return b""

    async def read(self, limit: int) -> bytes:
        data = b""
        while piece := await self.chunk():
            data += piece
        return data

    def close(self) -> None:
        self.closed += 1


class ScriptedTransport:
    """Gives the next scripted answer of a provider; a scripted exception is raised instead."""

    def __init__(self, steps: list[str], clock: Clock) -> None:
        self.steps = steps
        self.clock = clock
        self.scripts: dict[str, list[Exchange | BaseException | asyncio.Event]] = {}
        self.requests: list[tuple[Target, HttpRequest]] = []

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> Exchange:
        self.steps.append(f"send {target.provider}")
        self.requests.append((target, request))
        script = self.scripts[target.provider].pop(0)
        if isinstance(script, asyncio.Event):
            await script.wait()
            script = self.scripts[target.provider].pop(0)
        if isinstance(script, BaseException):
            raise script
        assert isinstance(script, Exchange)
        script.clock = self.clock
        return script

    async def close(self) -> None: ...


class PromptTransport(ScriptedTransport):
    """The same, and it always has a connection at hand."""

    def is_ready(self, target: Target) -> bool:
        return True

    def prepare(self, target: Target, request: HttpRequest, deadline: float) -> "ScriptedSent":
        return ScriptedSent(self, target, request, deadline)

    async def take_up(self, sent: "ScriptedSent", target: Target, request: HttpRequest, deadline: float) -> Exchange:
        assert (target, request, deadline) == sent.asked
        if sent.failure is not None:
            raise sent.failure
        assert sent.exchange is not None
        if sent.body is not None:
            sent.exchange.pieces.insert(0, sent.body)
        return sent.exchange


class ScriptedSent:
    """A request whose answer comes by itself."""

    def __init__(self, transport: PromptTransport, *asked: Any) -> None:
        self.transport = transport
        self.asked = asked
        self.exchange: Exchange | None = None
        self.failure: BaseException | None = None
        self.body: bytes | None = None
        self.ended: list[str] = []

    def dispatch(self, arrived: Callable[[], None]) -> None:
        self.work = asyncio.ensure_future(self._fetch())
        self.work.add_done_callback(lambda done: None if done.cancelled() else arrived())

    async def _fetch(self) -> None:
        try:
            self.exchange = await self.transport.send(*self.asked)
            if self.exchange.status == 200:
                self.body = await self.exchange.read(1 << 20)
        except GatewayError as failure:
            self.failure = failure

    def body_now(self, limit: int) -> bytes | None:
        return self.body if self.body is not None and len(self.body) <= limit else None

    def release(self) -> None:
        assert self.exchange is not None
        self.exchange.close()

    def drop(self) -> None:
        self.ended.append("dropped")
        self.work.cancel()


class CountedTokens:
    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    async def count(self, model: str, texts: list[str]) -> list[int]:
        self.asked.append((model, texts))
        return [len(text.split()) for text in texts]

    async def measure(self, model: str, texts: list[str]) -> list[Measure]:
        return [Measure(tokens, exact=True) for tokens in await self.count(model, texts)]


class Observed:
    def __init__(self) -> None:
        self.journals: list[Journal] = []

    def observe(self, journal: Journal, finished: float) -> None:
        self.journals.append(journal)


class Caller:
    """The ``Reply`` of somebody who writes down what comes; ``leave`` makes it go away at a piece."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps
        self.started = False
        self.gone = False
        self.alone = False
        self.status = 0
        self.head: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.ended = False
        self.leave_at: str | None = None
        self.over = asyncio.Event()
        self.rest: asyncio.Future[None] | None = None
        self.departed: Departed | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def frames(self) -> list[str]:
        """The payloads of the stream."""
        return [frame.removeprefix("data: ") for frame in self.body.decode().split("\n\n") if frame]

    @property
    def chunks(self) -> list[Any]:
        return [msgspec.json.decode(frame) for frame in self.frames if frame != "[DONE]"]

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        self.send(status, head, body)

    def set_off(self, departed: Departed | None, inbound: Inbound) -> None:
        self.departed = departed

    def send(self, status: int, head: bytes, body: bytes) -> None:
        self._begin("whole", status, head)
        self.pieces.append(body)
        self.ended = True
        self.over.set()

    def go_on(self, rest: Coroutine[Any, Any, None], inbound: Inbound) -> None:
        self.rest = asyncio.ensure_future(rest)
        self.rest.add_done_callback(lambda _: self.over.set())

    async def wait(self) -> None:
        """For the end of a call that departed. Raises its failure."""
        await self.over.wait()
        if self.rest is not None:
            await self.rest

    async def start(self, status: int, head: bytes) -> None:
        self._begin("start", status, head)

    async def write(self, data: bytes) -> None:
        self._step("write")
        self.pieces.append(data)

    async def end(self, data: bytes = b"") -> None:
        self._step("end")
        self.pieces.append(data)
        self.ended = True

    def _begin(self, step: str, status: int, head: bytes) -> None:
        self.started = True
        self._step(step)
        self.status = status
        self.head = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)

    def _step(self, step: str) -> None:
        if self.leave_at == step:
            self.gone = True
            raise GatewayError(CLIENT_GONE, "the caller left")
        self.steps.append(step)


class World:
    """Everything a call touches. ``targets`` are the route ``*``; ``script`` gives what providers will answer."""

    def __init__(self, *, express: bool = False) -> None:
        self.express = express
        """Whether calls go without a task where they can."""
        self.departed = 0
        """How many did."""
        self.steps: list[str] = []
        self.clock = Clock()
        self.catalog = MemoryCatalog()
        self.cache = MemoryCache()
        self.leases = MemoryLeases(self.clock)
        self.answers = MemoryAnswers(self.clock)
        self.memory = Memory(self.answers, max_bytes=1 << 20, keep_seconds=86_400, sleep=self.clock.sleep)
        self.ledger = OrderedLedger(self.steps)
        self.translator = OpenAITranslator()
        self.translators: dict[str, Translator] = {}
        """Of the providers that do not speak OpenAI's chat form alone."""
        self.dialect: Dialect = CHAT_DIALECT
        self.transport = (PromptTransport if express else ScriptedTransport)(self.steps, self.clock)
        self.tokens = CountedTokens()
        self.workbench: Workbench | None = None
        self.observed = Observed()
        self.releases = Releases(self.catalog, self.cache, self.clock)
        self.permits = Permits(self.leases, self.clock, None)
        self.counters = MemoryLimits(self.clock, self.now_ms)
        self.naps: dict[float, asyncio.Event] = {}
        """What those who rest for so many seconds wait for; others take a turn of the loop."""
        self.spending = MemorySpending(lambda: self.ledger.rows)
        self.seeding = Seeding(self.counters, self.spending, "worker", self.clock, sleep=self.rest)
        self.limits = Limits(self.counters, self.seeding, self.clock, self.now_ms)
        self.targets = (Target("openai", "", "http://one", "sk-1"),)
        self.routes: list[Route] = []
        self.table: RouteTable | None = None
        """Set it where what is learned of targets must outlive a call."""
        self.endpoints: dict[str, GuardEndpoint] = {}
        """The services that guards may ask; their answers are scripted under ``guard:NAME``."""
        self.examples = Examples()
        self.peppers = PLAIN
        self.draws: list[float] = []
        """What chance gives next; 0.0 when it is used up."""
        self.keeping: Keeping | None = None
        self.receiver = Receiver(self.clock, lambda: STARTED_MS, lambda bits: (1 << bits) - 1, 600)
        self.key = make(lambda n: bytes(range(n)))
        self.allow()

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch; looking does not make time pass."""
        return STARTED_MS + int((self.clock.now - 600.0) * 1000)

    async def rest(self, seconds: float) -> None:
        """Between two looks of those who work beside the calls."""
        nap = self.naps.get(seconds)
        await (asyncio.sleep(0) if nap is None else nap.wait())

    def allow(self, **fields: Any) -> None:
        """(Re)make the key with other rights."""
        self.releases.apply(
            self.catalog.add_key(self.key.digest, KeyDocument("key-1", "app-1", "demo", self.key.public_id, **fields))
        )

    def publish(self, slug: str, *messages: tuple[str, str], alias: str = "production", **content: Any) -> int:
        """A published version of a prompt; its number."""
        templates = [MessageTemplate(role, text) for role, text in messages]  # type: ignore[arg-type]
        number = self.catalog.add_version("app-1", slug, VersionContent(messages=templates, **content))  # type: ignore[arg-type]
        self.releases.apply(self.catalog.publish("app-1", slug, number, alias))
        return number

    def script(self, *answers: Exchange | BaseException | asyncio.Event, provider: str = "openai") -> None:
        self.transport.scripts.setdefault(provider, []).extend(answers)

    @property
    def services(self) -> Services:
        return Services(
            releases=self.releases,
            permits=self.permits,
            limits=self.limits,
            routes=self.table or RouteTable([*self.routes, Route(("*",), self.targets)]),
            providers={
                target.provider: Provider(self.translators.get(target.provider, self.translator), self.transport)
                for target in self.targets
            },
            prices=PRICES,
            ledger=self.ledger,
            observer=self.observed,
            tokens=self.tokens,
            clock=self.clock,
            default_model="gpt-4o-mini",
            max_answer_bytes=1 << 20,
            server_timing=True,
            random=lambda: self.draws.pop(0) if self.draws else 0.0,
            keeping=self.keeping,
            memory=self.memory,
            workbench=self.workbench,
            endpoints=self.endpoints,
            examples=self.examples,
            peppers=self.peppers,
        )

    def serve_guard(self, name: str = "rules", secret: bytes = b"") -> None:
        """Configure an endpoint that guards may ask."""
        target = Target(f"guard:{name}", "", "http://guard", "")
        self.endpoints[name] = GuardEndpoint(target, secret, self.transport, Breaker(BreakerRules(failures=2)))

    def inbound(self, body: object = None, **headers: str | bytes) -> Inbound:
        """A received chat call; header names with ``_`` for ``-``; ``body`` as JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else msgspec.json.encode({} if body is None else body)
        given = {name.replace("_", "-").encode(): v.encode() if isinstance(v, str) else v for name, v in headers.items()}
        return self.receiver.receive("chat", {b"authorization": b"Bearer " + self.key.text.encode(), **given}, data)

    def caller(self) -> Caller:
        return Caller(self.steps)

    async def call(self, body: object = None, caller: Caller | None = None, **headers: str | bytes) -> Caller:
        """One call through the sentence, without an edge: failures are raised."""
        caller = caller or self.caller()
        inbound, services = self.inbound(chat() if body is None else body, **headers), self.services
        departed = self.express and self.depart(inbound, caller, services) is not None
        self.departed += departed
        if not departed:
            await serve(inbound, services, caller, self.dialect)
        else:
            await caller.wait()
        return caller

    def depart(self, inbound: Inbound, caller: Caller, services: Services | None = None) -> Departed | None:
        """The first half of the sentence, alone."""
        for _ in depart(inbound, services or self.services, caller, self.dialect):
            pass
        return caller.departed

    async def fail(self, kind: str, body: object = None, caller: Caller | None = None, **headers: str | bytes) -> GatewayError:
        """One call that must fail with ``kind``."""
        with pytest.raises(GatewayError) as caught:
            await self.call(body, caller, **headers)
        assert caught.value.kind.name == kind, caught.value.detail
        return caught.value

    @property
    def row(self) -> LedgerRow:
        """The only row there is."""
        assert len(self.ledger.rows) == 1, self.ledger.rows
        return self.ledger.rows[0]


def chat(text: str = "Hello", **fields: object) -> dict[str, object]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **fields}


def completion(text: str = "Hi there", usage: object = (10, 2), **fields: object) -> Exchange:
    """A whole answer; ``usage`` as (prompt, completion), None leaves it out."""
    body: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        **fields,
    }
    if isinstance(usage, tuple):
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Exchange(200, b"application/json", [msgspec.json.encode(body)])


def delta(text: str | None = None, *, finish: str | None = None, index: int = 0, null_usage: bool = True) -> bytes:
    """One event of a stream, as a provider writes it that was asked for usage."""
    chunk: dict[str, object] = {
        "id": "chatcmpl-1",
        "choices": [{"index": index, "delta": {} if text is None else {"content": text}, "finish_reason": finish}],
    }
    if null_usage:
        chunk["usage"] = None
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def usage(given: int = 10, made: int = 2) -> bytes:
    """The closing usage event."""
    counts = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return b"data: " + msgspec.json.encode({"id": "chatcmpl-1", "choices": [], "usage": counts}) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream(*pieces: Piece) -> Exchange:
    return Exchange(200, b"text/event-stream; charset=utf-8", pieces)


def opinion(action: str = "allow", **more: object) -> Exchange:
    """What a guard service answers."""
    return Exchange(200, b"application/json", [msgspec.json.encode({"action": action, **more})])


def validators(stage: str, *guards: Mapping[str, Any], **more: Any) -> Guardrails:
    """A configuration with these validators at one stage (``pre`` or ``post``)."""
    section = {"validators": guards, **{name: value for name, value in more.items() if name != "max_reasks"}}
    rest = {name: value for name, value in more.items() if name == "max_reasks"}
    return msgspec.convert({f"{stage}_validation": section, **rest}, Guardrails)


def refusal(status: int, message: str = "no") -> Exchange:
    return Exchange(status, b"application/json", [msgspec.json.encode({"error": {"message": message}})])


def guardrails(pre: Sequence[str] = (), post: Sequence[str] = (), required: Sequence[str] = ()) -> Guardrails:
    """Prohibited terms of each stage, and what the answer must contain."""
    return Guardrails(
        PreValidation(prohibited_terms=list(pre)), PostValidation(prohibited_terms=list(post), required_elements=list(required))
    )


class Answers:
    """What providers can be scripted to say; a namespace that tests get as a fixture."""

    chat = staticmethod(chat)
    completion = staticmethod(completion)
    delta = staticmethod(delta)
    usage = staticmethod(usage)
    stream = staticmethod(stream)
    refusal = staticmethod(refusal)
    guardrails = staticmethod(guardrails)
    opinion = staticmethod(opinion)
    validators = staticmethod(validators)
    DONE = DONE


_BOTH_WAYS = ("test_call", "test_guard_out", "test_guarding", "test_limits", "test_resilience", "test_resolve", "test_serve")
"""Modules whose calls are made twice: in a task, and without one where they can go so."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of these modules holds for both ways."""
    if "world" in metafunc.fixturenames and metafunc.module.__name__.rpartition(".")[2] in _BOTH_WAYS:
        metafunc.parametrize("world", ["task", "express"], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """A pipeline from memory twins."""
    return World(express=getattr(request, "param", "task") == "express")


@pytest.fixture
def say() -> type[Answers]:
    """Builders of request bodies and scripted answers."""
    return Answers


@pytest.fixture
def guarded(world: World) -> Callable[..., World]:
    """Publishes ``faq`` with one validator at a stage, and an endpoint ``rules``."""
    world.serve_guard("rules", b"secret")

    def publish(stage: str, *guards: Any, **more: Any) -> World:
        world.publish("faq", ("system", "Help."), guardrails=validators(stage, *guards, **more))
        return world

    return publish
