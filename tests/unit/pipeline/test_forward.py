"""Forwarded calls through memory twins: where they go, what is written down and when, and how they end."""

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.forward import AUDIO, BATCHES, EMBEDDINGS, FILES, IMAGES, MODERATIONS
from gateway.core.requests import Inbound
from gateway.core.upstream import Target, Timeouts
from gateway.pipeline.forward import forward
from gateway.pipeline.forwarding.placing import Errand
from gateway.pipeline.services import Provider, Services
from gateway.providers.embeddings_gemini import GeminiForwarder
from gateway.providers.forwarding import ECHO_FORWARDER, OpenAIForwarder
from gateway.providers.openai import OpenAITranslator
from gateway.routing.breaker import BreakerRules
from gateway.routing.health import Rules
from gateway.routing.policy import Candidate, Condition, Policy
from gateway.routing.table import Route, RouteTable
from gateway.storage.memory.objects import MemoryObjects
from gateway.transport.failures import unconnected

EMBED = Errand(EMBEDDINGS, b"POST", "/embeddings")
MODERATE = Errand(MODERATIONS, b"POST", "/moderations")
SPEAK = Errand(AUDIO, b"POST", "/audio/speech")
UPLOAD = Errand(FILES, b"POST", "/files", makes=True)
LIST = Errand(FILES, b"GET", "/files", lists=True)
READ = Errand(FILES, b"GET", "/files/file-1", "file-1")
DELETE = Errand(FILES, b"DELETE", "/files/file-1", "file-1", removes=True)
CONTENT = Errand(FILES, b"GET", "/files/file-1/content", "file-1", streams=True)
BATCH = Errand(BATCHES, b"POST", "/batches", makes=True)
VECTORS = {"object": "list", "data": [], "usage": {"prompt_tokens": 8, "total_tokens": 8}}


class Forwarding:
    """A world with two accounts of the OpenAI kind and one that can only embed."""

    def __init__(self, world: Any, say: Any) -> None:
        self.world = world
        self.say = say
        self.objects = MemoryObjects()
        self.passthrough: str | None = "openai"
        self.keys: tuple[str, ...] = ()
        """More keys of every account."""
        world.targets = (Target("openai", "", "http://one", "sk-1"), Target("second", "e-2", "http://two", ""))

    @property
    def services(self) -> Services:
        translator, transport = OpenAITranslator(), self.world.transport
        providers = {
            name: Provider(translator, transport, forwarder, Target(name, "", f"http://{name}", f"sk-{name}"), self.keys)
            for name, forwarder in {
                "openai": OpenAIForwarder(),
                "second": OpenAIForwarder(),
                "echo": ECHO_FORWARDER,
                "gemini": GeminiForwarder(),
                "chat": None,
            }.items()
        }
        services = msgspec.structs.replace(self.world.services, providers=providers, objects=self.objects)
        services.routes.passthrough = self.passthrough
        return services

    def inbound(self, errand: Errand, body: object = None, query: str = "", **headers: str) -> Inbound:
        given = self.world.inbound(b"" if body is None else body, **headers)
        return msgspec.structs.replace(given, door=errand.door, query=query)

    async def call(self, errand: Errand, body: object = None, query: str = "", caller: Any = None, **headers: str) -> Any:
        caller = caller or self.world.caller()
        self.cut = await forward(self.inbound(errand, body, query, **headers), errand, self.services, caller)
        return caller

    async def fail(self, kind: str, errand: Errand, body: object = None, query: str = "", **headers: str) -> GatewayError:
        with pytest.raises(GatewayError) as caught:
            await self.call(errand, body, query, **headers)
        assert caught.value.kind.name == kind, caught.value.detail
        return caught.value

    def answer(self, body: object, *pieces: Any, content_type: bytes = b"application/json", status: int = 200) -> Any:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        answer = type(self.say.completion())(status, content_type, [data, *pieces])
        self.world.script(answer)
        return answer

    @property
    def sent(self) -> Any:
        return self.world.transport.requests[-1][1]


@pytest.fixture
def forwarding(world: Any, say: Any) -> Forwarding:
    return Forwarding(world, say)


async def test_a_call_is_written_down_before_and_after(forwarding: Forwarding) -> None:
    answer = forwarding.answer(VECTORS)
    caller = await forwarding.call(EMBED, {"model": "text-embedding-3-small", "input": "a", "user": "u"}, x_tags="t")
    assert forwarding.world.steps == ["intent 1", "send openai", "row 1 ok", "whole"]
    assert (caller.status, caller.json) == (200, VECTORS)
    assert answer.closed == 1
    row = forwarding.world.row
    assert (row.door, row.provider, row.model, row.user, row.tags) == (
        "embeddings", "openai", "text-embedding-3-small", "u", ("t",),
    )  # fmt: skip
    assert (row.input_tokens, row.output_tokens, row.usage_source, row.cost_status) == (8, 0, "upstream", "exact")
    assert caller.head["x-provider"] == "openai"
    assert caller.head["x-model"] == "text-embedding-3-small"
    assert caller.head["x-attempts"] == "1"
    assert caller.head["server-timing"].startswith("upstream;dur=")
    assert forwarding.world.observed.journals[0].outcome == "ok"


async def test_the_next_target_is_asked_for_its_own_model(forwarding: Forwarding) -> None:
    forwarding.world.script(forwarding.say.refusal(500))
    forwarding.world.script(type(forwarding.say.completion())(200, b"application/json", [b"{}"]), provider="second")
    caller = await forwarding.call(EMBED, b'{"model":"e", "input": [1, 2]}')
    assert forwarding.world.steps == [
        "intent 1",
        "send openai",
        "row 1 upstream_error",
        "intent 2",
        "send second",
        "row 2 ok",
        "whole",
    ]
    (_, first), (_, second) = forwarding.world.transport.requests
    assert first.body == b'{"model":"e","input":[1, 2]}'
    assert second.body == b'{"model":"e-2","input":[1, 2]}'
    assert first.headers == ((b"content-type", b"application/json"), (b"authorization", b"Bearer sk-1"))
    assert second.headers == ((b"content-type", b"application/json"),)
    assert caller.head["x-attempts"] == "2"
    assert "x-cost-usd" not in caller.head


async def test_a_refusal_of_the_request_is_final(forwarding: Forwarding) -> None:
    forwarding.world.script(forwarding.say.refusal(400, "bad input"))
    error = await forwarding.fail("upstream_rejected", EMBED, {"model": "e", "input": "a"})
    assert error.detail == "bad input"
    assert forwarding.world.steps[-1] == "row 1 upstream_rejected"


async def test_the_last_failure_is_told(forwarding: Forwarding) -> None:
    forwarding.world.script(forwarding.say.refusal(401))
    forwarding.world.script(forwarding.say.refusal(429), provider="second")
    await forwarding.fail("upstream_rate_limited", EMBED, {"model": "e", "input": "a"})
    assert [row.outcome for row in forwarding.world.ledger.rows] == ["upstream_auth_error", "upstream_rate_limited"]


@pytest.mark.parametrize("status", [301, 302, 307, 304])
async def test_redirects_are_failures(forwarding: Forwarding, status: int) -> None:
    forwarding.passthrough = "second"
    forwarding.world.script(forwarding.say.refusal(status), provider="second")
    await forwarding.fail("upstream_invalid", MODERATE, {"input": "a"})
    assert len(forwarding.world.transport.requests) == 1


async def test_what_cannot_be_placed(forwarding: Forwarding) -> None:
    world = forwarding.world
    world.routes.append(Route(("chat-only",), (Target("chat", "", "http://chat", ""),)))
    error = await forwarding.fail("not_configured", EMBED, {"model": "chat-only", "input": "a"})
    assert error.param == "model"
    world.targets = (Target("echo", "", "echo:", ""),)
    forwarding.passthrough = None
    await forwarding.fail("not_configured", MODERATE, {"model": "m", "input": "a"})
    await forwarding.fail("not_configured", MODERATE, {"input": "a"})
    forwarding.passthrough = "echo"
    await forwarding.fail("not_configured", UPLOAD, {})
    assert [row.attempt for row in world.ledger.rows] == [0, 0, 0, 0]
    assert world.transport.requests == []


async def test_a_wildcard_to_somebody_without_the_door_gives_way_to_the_account(forwarding: Forwarding) -> None:
    forwarding.world.targets = (Target("echo", "", "echo:", ""),)
    forwarding.answer({})
    await forwarding.call(MODERATE, {"model": "omni", "input": "a"})
    target, request = forwarding.world.transport.requests[0]
    assert (target.provider, target.model, target.api_key) == ("openai", "omni", "sk-openai")
    assert msgspec.json.decode(request.body) == {"model": "omni", "input": "a"}


async def test_bodies_and_queries_that_are_refused(forwarding: Forwarding) -> None:
    for body, param in (({"input": "a"}, "model"), ({"model": "m"}, "input"), (b"[]", None), (b"{", None)):
        assert (await forwarding.fail("malformed", EMBED, body)).param == param
    await forwarding.fail("unsupported", UPLOAD, b"x", content_type="text/plain")
    await forwarding.fail("unsupported", UPLOAD, b"x", content_encoding="gzip")
    await forwarding.fail("malformed", UPLOAD, b"x", content_type="multipart/form-data; boundary=b")
    await forwarding.objects.claim("app-1", "openai", ["file-1"])
    for query in ("a b", "a=\u00e9", "x" * 3000):
        assert (await forwarding.fail("malformed", READ, None, query)).param == "query"
    await forwarding.fail("unauthenticated", READ, None, authorization="Bearer pg_no")
    assert forwarding.world.transport.requests == []


async def test_limits_hold_here_too(forwarding: Forwarding) -> None:
    forwarding.world.allow(requests_per_minute=1)
    forwarding.answer({})
    caller = await forwarding.call(MODERATE, {"input": "a"})
    assert caller.head["x-ratelimit-limit-requests"] == "1"
    await forwarding.fail("rate_limited", MODERATE, {"input": "a"})


async def test_another_form_is_translated_there_and_back(forwarding: Forwarding) -> None:
    forwarding.world.targets = (Target("gemini", "gemini-embedding-001", "http://gemini", "k"),)
    answer = type(forwarding.say.completion())(200, b"application/json", [b'{"embeddings":[{"values":[0.5]}]}'])
    forwarding.world.script(answer, provider="gemini")
    caller = await forwarding.call(EMBED, {"model": "e", "input": "four"})
    assert caller.json["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    assert forwarding.sent.path == "/models/gemini-embedding-001:batchEmbedContents"
    row = forwarding.world.row
    assert (row.input_tokens, row.usage_source) == (1, "estimated")


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_sound_comes_as_it_is_sent(forwarding: Forwarding) -> None:
    forwarding.answer(b"one", b"two", content_type=b"audio/mpeg")
    caller = await forwarding.call(SPEAK, {"model": "tts", "input": "a"})
    assert forwarding.world.steps[2:] == ["start", "write", "write", "row 1 ok", "end"]
    assert (caller.body, caller.head["content-type"]) == (b"onetwo", "audio/mpeg")
    assert forwarding.world.row.cost_nano is None


async def test_sound_that_breaks_off_is_left_without_an_end(forwarding: Forwarding) -> None:
    broken = GatewayError(errors.UPSTREAM_INCOMPLETE, "broke off")
    answer = forwarding.answer(b"one", broken, content_type=b"audio/mpeg")
    caller = await forwarding.call(SPEAK, {"model": "tts", "input": "a"})
    assert forwarding.cut is broken
    assert (caller.body, caller.ended) == (b"one", False)
    assert answer.closed == 1
    assert (forwarding.world.row.outcome, forwarding.world.row.status) == ("upstream_incomplete", 200)


async def test_events_that_break_off_can_say_so(forwarding: Forwarding) -> None:
    forwarding.answer(b"data: {}\n\n", GatewayError(errors.UPSTREAM_TIMEOUT, "late"), content_type=b"text/event-stream")
    await forwarding.fail("upstream_timeout", SPEAK, {"model": "tts", "input": "a", "stream": True})
    assert forwarding.world.row.stream


async def test_usage_of_events(forwarding: Forwarding) -> None:
    event = b'data: {"type":"done","usage":{"input_tokens":5,"output_tokens":7}}\n\n'
    forwarding.answer(b"data: {}\n\n" + event[:30], event[30:], content_type=b"text/event-stream; charset=utf-8")
    caller = await forwarding.call(SPEAK, {"model": "gpt-4o-mini-tts", "input": "a"})
    assert caller.body == b"data: {}\n\n" + event
    row = forwarding.world.row
    assert (row.input_tokens, row.output_tokens, row.usage_source) == (5, 7, "upstream")


async def test_events_too_large_to_read_pass_unread(forwarding: Forwarding) -> None:
    forwarding.answer(b"data: " + b"x" * (2 << 20), b"\n\n", content_type=b"text/event-stream")
    caller = await forwarding.call(SPEAK, {"model": "tts", "input": "a"})
    assert len(caller.body) == (2 << 20) + 8
    row = forwarding.world.row
    assert (row.input_tokens, row.usage_source, row.cost_status) == (0, "counted", "unpriced"), (
        "what was sent is all that is known"
    )


async def test_a_caller_who_leaves_takes_the_call_along(forwarding: Forwarding) -> None:
    never = asyncio.Event()
    answer = forwarding.answer(b"one", never, content_type=b"audio/mpeg")
    caller = forwarding.world.caller()
    task = asyncio.ensure_future(forwarding.call(SPEAK, {"model": "tts", "input": "a"}, caller=caller))
    while not caller.pieces:
        await asyncio.sleep(0)
    caller.gone = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (forwarding.world.row.outcome, answer.closed) == ("client_gone", 1)


async def test_a_worker_that_stops_cuts_sound_and_tells_others(forwarding: Forwarding) -> None:
    for pieces, mute in (([b"one", asyncio.Event()], True), ([asyncio.Event()], False)):
        forwarding.world.ledger.rows.clear()
        forwarding.world.script(type(forwarding.say.completion())(200, b"audio/mpeg" if mute else b"application/json", pieces))
        caller = forwarding.world.caller()
        task = asyncio.ensure_future(forwarding.call(SPEAK, {"model": "tts", "input": "a"}, caller=caller))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        if mute:
            await task
            assert forwarding.cut is not None
            assert forwarding.cut.kind is errors.DRAINING
        else:
            with pytest.raises(GatewayError) as caught:
                await task
            assert caught.value.kind is errors.DRAINING
        assert forwarding.world.row.outcome == "draining"


async def test_a_defect_is_an_internal_error(forwarding: Forwarding) -> None:
    forwarding.world.script(ValueError("a bug"))
    error = await forwarding.fail("internal", MODERATE, {"input": "a"})
    assert "a bug" not in error.detail
    forwarding.world.ledger.rows.clear()
    forwarding.answer(b"one", ValueError("a bug"), content_type=b"audio/mpeg")
    await forwarding.call(SPEAK, {"model": "tts", "input": "a"})
    assert forwarding.cut is not None
    assert forwarding.world.row.outcome == "internal"


# --- files and batches ------------------------------------------------------------------------------------------------


async def test_what_is_made_belongs_to_its_maker(forwarding: Forwarding) -> None:
    forwarding.answer({"id": "file-1"})
    form = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    await forwarding.call(UPLOAD, form, content_type="multipart/form-data; boundary=b")
    assert forwarding.sent.body == form
    assert forwarding.sent.headers[0] == (b"content-type", b"multipart/form-data; boundary=b")
    assert await forwarding.objects.provider_of("app-1", "file-1") == "openai"
    forwarding.answer({"id": "file-1", "extra": 1})
    caller = await forwarding.call(READ, None, "expand=1")
    assert caller.json == {"id": "file-1", "extra": 1}
    assert (forwarding.sent.method, forwarding.sent.path, forwarding.sent.body) == (b"GET", "/files/file-1?expand=1", b"")
    assert forwarding.sent.headers == ((b"authorization", b"Bearer sk-openai"),)


@pytest.mark.parametrize("body", [b"nonsense", b'{"id":""}', b'{"id":5}', b"[]"])
async def test_an_answer_without_the_object_is_none(forwarding: Forwarding, body: bytes) -> None:
    forwarding.answer(body)
    await forwarding.fail("upstream_invalid", UPLOAD, {})


async def test_others_do_not_get_through(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-2", "openai", ["file-1"])
    for errand in (READ, DELETE, CONTENT):
        assert (await forwarding.fail("not_found", errand)).param == "id"
    error = await forwarding.fail("not_found", BATCH, {"input_file_id": "file-1"})
    assert error.param == "input_file_id"
    assert forwarding.world.transport.requests == []


async def test_an_object_is_asked_for_where_it_lives(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "second", ["file-1"])
    answer = type(forwarding.say.completion())
    forwarding.world.script(answer(200, b"application/json", [b'{"a"', b":1}"]), provider="second")
    caller = await forwarding.call(CONTENT)
    assert forwarding.world.steps[-3:] == ["write", "row 1 ok", "end"], "content is not kept, whatever its type"
    assert caller.body == b'{"a":1}'
    forwarding.world.script(
        answer(200, b"application/json", [b'{"id":"batch_1","output_file_id":"file-2"}']), provider="second"
    )
    await forwarding.call(BATCH, {"input_file_id": "file-1"})
    assert await forwarding.objects.owned("app-1", "second", ["batch_1", "file-2"]) == {"batch_1", "file-2"}


async def test_a_provider_that_is_no_more(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "former", ["file-1"])
    await forwarding.fail("not_configured", READ)


async def test_what_is_deleted_is_forgotten_and_what_is_not_is_kept(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "openai", ["file-1"])
    forwarding.world.script(forwarding.say.refusal(500))
    await forwarding.fail("upstream_error", DELETE)
    assert await forwarding.objects.provider_of("app-1", "file-1") == "openai"
    forwarding.answer({"deleted": True})
    await forwarding.call(DELETE)
    assert (forwarding.sent.method, forwarding.sent.path) == (b"DELETE", "/files/file-1")
    assert await forwarding.objects.provider_of("app-1", "file-1") is None


async def test_a_list_without_anything_asks_nobody(forwarding: Forwarding) -> None:
    caller = await forwarding.call(LIST)
    assert caller.json == {"data": [], "first_id": None, "last_id": None, "has_more": False, "object": "list"}
    assert forwarding.world.transport.requests == []
    assert forwarding.world.row.attempt == 0


async def test_a_list_is_read_through_for_the_applications_own(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "openai", ["a", "c", "e", "z"])
    forwarding.answer({"data": [{"id": "a", "x": 1.0}, {"id": "b"}], "has_more": True})
    forwarding.answer({"data": [{"id": "c"}, {"id": "d"}, {"id": "e"}], "has_more": False})
    caller = await forwarding.call(LIST, None, "limit=2&purpose=a%20b&after=z")
    assert caller.json == {
        "data": [{"id": "a", "x": 1.0}, {"id": "c"}],
        "first_id": "a",
        "last_id": "c",
        "has_more": True,
        "object": "list",
    }
    assert [request.path for _, request in forwarding.world.transport.requests] == [
        "/files?purpose=a+b&limit=100&after=z",
        "/files?purpose=a+b&limit=100&after=b",
    ]
    assert forwarding.world.row.outcome == "ok"


@pytest.mark.parametrize("limit", ["0", "-1", "x", "", "99999", "1" * 30, "\u0661"])
async def test_a_limit_that_is_none(forwarding: Forwarding, limit: str) -> None:
    assert (await forwarding.fail("malformed", LIST, None, f"limit={limit}")).param == "limit"


@pytest.mark.parametrize("body", [b"nonsense", b'{"data":5}', b'{"data":[{"id":5}]}'])
async def test_a_list_that_is_none(forwarding: Forwarding, body: bytes) -> None:
    await forwarding.objects.claim("app-1", "openai", ["a"])
    forwarding.answer(body)
    await forwarding.fail("upstream_invalid", LIST)


async def test_an_empty_page_is_the_last(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "openai", ["a"])
    forwarding.answer({"data": [], "has_more": True})
    assert not (await forwarding.call(LIST)).json["has_more"]


async def test_results_of_listed_batches_are_claimed(forwarding: Forwarding) -> None:
    await forwarding.objects.claim("app-1", "openai", ["batch_1"])
    forwarding.answer({"data": [{"id": "batch_1", "error_file_id": "file-9"}, {"id": "batch_2", "output_file_id": "file-8"}]})
    await forwarding.call(Errand(BATCHES, b"GET", "/batches", lists=True))
    assert await forwarding.objects.owned("app-1", "openai", ["file-8", "file-9"]) == {"file-9"}


async def test_without_a_book_or_with_a_closed_one_no_objects_are_served(forwarding: Forwarding) -> None:
    forwarding.objects.available = False
    await forwarding.fail("store_unavailable", READ)
    forwarding.objects = None  # type: ignore[assignment]
    await forwarding.fail("not_configured", READ)


# --- keys, breakers, fallback: as for generating calls --------------------------------------------------------------
E = {"model": "e", "input": "a"}
DRAW = Errand(IMAGES, b"POST", "/images/generations")


def health_of(forwarding: Forwarding) -> dict[str, Any]:
    return {health.name: health for health in forwarding.world.table.health.values()}


def remembering(forwarding: Forwarding, *targets: Any, policy: Policy | None = None, **rules: Any) -> RouteTable:
    """The world's only route, with a memory of its targets."""
    world = forwarding.world
    world.table = RouteTable([Route(("*",), targets or world.targets, policy or Policy())], Rules(**rules))
    return world.table


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_another_key_of_the_account_answers(forwarding: Forwarding, status: int) -> None:
    routes = remembering(forwarding, Candidate(forwarding.world.targets[0], keys=("sk-9",)))
    forwarding.world.script(forwarding.say.refusal(status))
    forwarding.answer(VECTORS)
    caller = await forwarding.call(EMBED, E)
    assert [target.api_key for target, _ in forwarding.world.transport.requests] == ["sk-1", "sk-9"]
    assert caller.head["x-attempts"] == "2"
    assert [(row.attempt, row.provider, row.input_tokens) for row in forwarding.world.ledger.rows] == [
        (1, "openai", None), (2, "openai", 8),
    ]  # fmt: skip
    assert routes.accounts["openai"].rotated == 1
    assert health_of(forwarding)["openai/e"].in_flight == 0


async def test_keys_of_an_account_without_a_route_take_turns_too(forwarding: Forwarding) -> None:
    remembering(forwarding, Target("second", "", "http://two", ""))
    forwarding.keys = ("sk-9",)
    forwarding.world.script(forwarding.say.refusal(429))
    forwarding.answer({"id": "file-1"})
    await forwarding.call(UPLOAD, {})
    assert [target.api_key for target, _ in forwarding.world.transport.requests] == ["sk-openai", "sk-9"]
    assert await forwarding.objects.provider_of("app-1", "file-1") == "openai"
    assert health_of(forwarding)["openai//v1/files"].limiter.limit < 512, "what it cannot take shows"


async def test_a_target_that_fails_is_left_alone_until_it_heals(forwarding: Forwarding) -> None:
    remembering(forwarding, breaker=BreakerRules(failures=2))
    forwarding.world.script(forwarding.say.refusal(500), forwarding.say.refusal(502))
    answer = type(forwarding.say.completion())
    forwarding.world.script(*[answer(200, b"application/json", [b"{}"]) for _ in range(3)], provider="second")
    for _ in range(3):
        await forwarding.call(EMBED, E)
    asked = [target.provider for target, _ in forwarding.world.transport.requests]
    assert asked == ["openai", "second", "openai", "second", "second"]
    forwarding.world.clock.now += 2
    forwarding.answer(VECTORS)
    assert (await forwarding.call(EMBED, E)).head["x-provider"] == "openai"


async def test_when_nobody_can_be_asked_the_call_is_refused_at_once(forwarding: Forwarding) -> None:
    remembering(forwarding, forwarding.world.targets[0], breaker=BreakerRules(failures=1))
    forwarding.world.script(forwarding.say.refusal(500))
    await forwarding.fail("upstream_error", EMBED, E)
    error = await forwarding.fail("upstream_unavailable", EMBED, E)
    assert error.retry_after is not None
    assert len(forwarding.world.transport.requests) == 1
    assert forwarding.world.ledger.rows[-1].attempt == 0


async def test_an_answer_that_cannot_be_read_is_another_targets_turn(forwarding: Forwarding) -> None:
    answer = type(forwarding.say.completion())
    gemini = Target("gemini", "gemini-embedding-001", "http://gemini", "k")
    remembering(forwarding, gemini, forwarding.world.targets[0])
    forwarding.world.script(answer(200, b"application/json", [b"nonsense"]), provider="gemini")
    broken = answer(200, b"application/json", [b"{", GatewayError(errors.UPSTREAM_INCOMPLETE, "cut")])
    forwarding.world.script(broken)
    await forwarding.fail("upstream_incomplete", EMBED, E)
    assert [row.outcome for row in forwarding.world.ledger.rows] == ["upstream_invalid", "upstream_incomplete"]
    assert broken.closed == 1


async def test_the_same_target_is_asked_again_within_the_retry_budget(forwarding: Forwarding) -> None:
    routes = remembering(
        forwarding, forwarding.world.targets[0], policy=Policy(attempts=3), retry_ratio=0.0, retries_per_second=0.1
    )
    forwarding.world.script(*[forwarding.say.refusal(500) for _ in range(3)])
    await forwarding.fail("upstream_error", EMBED, E)
    assert len(forwarding.world.transport.requests) == 2
    assert routes.accounts["openai"].retries.refused == 1


def unsent(kind: Any) -> GatewayError:
    return unconnected(GatewayError(kind, "no connection"))


NOT_MADE = [
    (unsent(errors.UPSTREAM_UNREACHABLE), True),
    (unsent(errors.UPSTREAM_TIMEOUT), True),
    (GatewayError(errors.UPSTREAM_UNREACHABLE, "lost before the answer"), False),
    (GatewayError(errors.UPSTREAM_TIMEOUT, "no answer"), False),
    (401, True), (403, True), (429, True), (503, True), (529, True), (500, False), (502, False), (504, False),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "turned_away"), NOT_MADE)
async def test_what_would_be_made_twice_goes_on_only_when_nothing_was_made(
    forwarding: Forwarding, failure: Any, turned_away: bool
) -> None:
    remembering(forwarding)
    forwarding.world.script(forwarding.say.refusal(failure) if isinstance(failure, int) else failure)
    if turned_away:
        answer = type(forwarding.say.completion())(200, b"application/json", [b'{"data":[{}]}'])
        forwarding.world.script(answer, provider="second")
        assert (await forwarding.call(DRAW, {"model": "m", "prompt": "a"})).head["x-provider"] == "second"
    else:
        with pytest.raises(GatewayError):
            await forwarding.call(DRAW, {"model": "m", "prompt": "a"})
        assert len(forwarding.world.transport.requests) == 1
    assert len(forwarding.world.ledger.rows) == 1 + turned_away


async def test_a_sound_that_breaks_off_counts_against_its_target_and_frees_its_place(forwarding: Forwarding) -> None:
    remembering(forwarding, forwarding.world.targets[0], breaker=BreakerRules(failures=1))
    forwarding.answer(b"one", GatewayError(errors.UPSTREAM_INCOMPLETE, "broke off"), content_type=b"audio/mpeg")
    await forwarding.call(SPEAK, {"model": "tts", "input": "a"})
    health = health_of(forwarding)["openai/tts"]
    assert (health.breaker.is_closed, health.in_flight) == (False, 0)


async def test_a_place_is_held_while_an_answer_flows_and_others_wait_for_it(forwarding: Forwarding) -> None:
    remembering(forwarding, forwarding.world.targets[0], concurrency=1)
    gate = asyncio.Event()
    forwarding.answer(b"one", gate, b"two", content_type=b"audio/mpeg")
    forwarding.answer(b"three", content_type=b"audio/mpeg")
    callers = [forwarding.world.caller(), forwarding.world.caller()]
    calls = [asyncio.ensure_future(forwarding.call(SPEAK, {"model": "tts", "input": "a"}, caller=c)) for c in callers]
    while not callers[0].pieces:
        await asyncio.sleep(0)
    assert (health_of(forwarding)["openai/tts"].queued, len(forwarding.world.transport.requests)) == (1, 1)
    gate.set()
    await asyncio.gather(*calls)
    assert [caller.body for caller in callers] == [b"onetwo", b"three"]
    assert health_of(forwarding)["openai/tts"].in_flight == 0


async def test_conditions_and_weights_of_a_route_hold(forwarding: Forwarding) -> None:
    one, two = forwarding.world.targets
    forwarding.world.table = RouteTable(
        [
            Route(("*",), (two,), Policy(when=Condition(tags=frozenset({"batch"})))),
            Route(("*",), (Target("chat", "", "http://chat", ""), Candidate(one), Candidate(two)), Policy("weighted")),
        ],
    )
    answer = type(forwarding.say.completion())
    forwarding.world.script(*[answer(200, b"application/json", [b"{}"]) for _ in range(2)], provider="second")
    assert (await forwarding.call(EMBED, E, x_tags="batch")).head["x-provider"] == "second"
    forwarding.world.draws = [0.9]
    assert (await forwarding.call(EMBED, E)).head["x-provider"] == "second"


async def test_a_slow_target_has_a_second_one_beside_it_where_that_does_no_harm(forwarding: Forwarding) -> None:
    remembering(forwarding, policy=Policy(hedge_after=0.001))
    answer = type(forwarding.say.completion())
    forwarding.world.script(asyncio.Event())
    forwarding.world.script(answer(200, b"application/json", [b"{}"]), provider="second")
    assert (await forwarding.call(EMBED, E)).head["x-provider"] == "second"
    assert sorted(row.outcome for row in forwarding.world.ledger.rows) == ["hedge_lost", "ok"]
    assert all(health.in_flight == 0 for health in forwarding.world.table.health.values())
    forwarding.world.script(answer(200, b"application/json", [0.5, b'{"data":[]}']))
    assert (await forwarding.call(DRAW, {"model": "e", "prompt": "a"})).head["x-attempts"] == "1"


async def test_time_limits_of_targets_and_callers_for_the_first_byte(forwarding: Forwarding) -> None:
    slow = Timeouts(first_byte=60, first_token=5)
    remembering(forwarding, Target("openai", "", "http://one", "sk-1", slow))
    for headers, expected in (({}, 5), ({"x_first_token_timeout_ms": "900"}, 0.9)):
        forwarding.answer(VECTORS)
        await forwarding.call(EMBED, E, **headers)
        assert forwarding.world.transport.requests[-1][0].timeouts.first_byte == expected


async def test_a_list_is_read_with_another_key_when_one_is_refused(forwarding: Forwarding) -> None:
    remembering(forwarding)
    forwarding.keys = ("sk-9",)
    await forwarding.objects.claim("app-1", "openai", ["a"])
    forwarding.world.table = RouteTable([Route(("*",), (Candidate(forwarding.world.targets[0], keys=("sk-9",)),))])
    forwarding.world.script(forwarding.say.refusal(401))
    forwarding.answer({"data": [{"id": "a"}], "has_more": False})
    assert (await forwarding.call(LIST)).json["first_id"] == "a"
    assert [row.attempt for row in forwarding.world.ledger.rows] == [1, 2]
    assert health_of(forwarding)["openai//v1/files"].in_flight == 0
