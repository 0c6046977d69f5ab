"""No application gets anything of another, nor can it tell from any answer that there is something to get.

Two worlds differ in one point: in one of them an application has things of the names that a neighbour asks for; in the other it has as many
things of other names, so those asked for never existed. On every route the neighbour's answers, what is sent upstream for them and
what is written down must be equal, byte for byte. The routes are taken from the program's own table: a new one is asked too, or has no
body here and fails.
"""

import asyncio
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import AnswerCache, Guardrails, KeyDocument, MessageTemplate, PreValidation, VersionContent
from gateway.core.keys import NewKey, make
from gateway.core.limits import LimitRule
from gateway.core.stored import Keeping, StoredResponse
from gateway.core.upstream import HttpRequest, Target
from gateway.edge import doors
from gateway.edge.schema import data_plane_paths
from gateway.pipeline.accounts import Accounts
from gateway.pipeline.memory import Memory
from gateway.pipeline.releases import Releases
from gateway.pipeline.services import Provider, Services
from gateway.providers.forwarding import OpenAIForwarder
from gateway.providers.openai import OpenAITranslator
from gateway.routing.table import Route, RouteTable
from gateway.settings import Provider as ProviderSettings
from gateway.settings import Settings
from gateway.storage.memory.answers import MemoryAnswers
from gateway.storage.memory.cache import MemoryCache
from gateway.storage.memory.catalog import _id_of
from gateway.storage.memory.objects import MemoryObjects
from gateway.storage.memory.responses import MemoryResponses
from gateway.storage.vault import Vault
from tests.unit.pipeline.conftest import STARTED_MS, Caller, Exchange, World, completion, delta

ROUTES = [
    (method.upper(), path)
    for path, item in data_plane_paths().items()
    for method in ("get", "post", "put", "delete")
    if getattr(item, method) is not None
]
CANARY = "CANARY"
OWNER, NEIGHBOUR = "app-1", "app-2"
ACCOUNT = ProviderSettings("openai", "http://one", "sk-1")
VAULT = Vault([bytes(32)], lambda count: bytes(count))
HI = [{"role": "user", "content": "Hi"}]


class Things:
    """What the owner has, by the names that it has given."""

    def __init__(self, mark: str) -> None:
        self.slugs = (f"secret-{mark}", f"team-{mark}/plan", "faq" if mark == "real" else "fzz")
        self.alias = f"hidden-{mark}"
        self.response, self.file, self.batch = f"resp_{mark}", f"file-{mark}", f"batch_{mark}"
        self.once = f"once-{mark}"
        self.model = f"routed-{mark}"
        """A name that its own routes lead to its own account."""
        self.tag = f"tag-{mark}"
        """What its calls count under."""
        self.term = f"term-{mark}"
        """What its guardrails let nobody say."""


THERE, ELSEWHERE = Things("real"), Things("fake")


class Account:
    """The provider's account, which all applications share: it answers the same to the same question."""

    def __init__(self, things: Things) -> None:
        self.asked: list[tuple[str, bytes, bytes, str]] = []
        self.things = things

    async def send(self, target: Target, request: HttpRequest, deadline: float) -> Exchange:
        self.asked.append((request.path, request.method, request.body, target.api_key))
        if request.path == "/chat/completions":
            said = repr(msgspec.json.decode(request.body)["messages"])
            if b'"stream":true' not in request.body.replace(b" ", b""):
                return completion(f"You said {said}")
            return Exchange(200, b"text/event-stream", [delta(said), delta(finish="stop"), b"data: [DONE]\n\n"])
        listed = [self.things.file, self.things.batch, "file-own", "batch_own"]
        kind = request.path.split("?")[0].strip("/").split("/")[0]
        body: object = {"id": f"{kind}-made", "object": kind, "said": request.path}
        if request.method == b"GET" and "/" not in request.path.strip("/"):
            body = {"object": "list", "data": [{"id": i, "object": kind} for i in listed], "has_more": False}
        return Exchange(200, b"application/json", [msgspec.json.encode(body)])

    async def close(self) -> None: ...


def made(number: int) -> NewKey:
    return make(lambda count: bytes([number]) * count)


def rules_of(app: str) -> list[LimitRule]:
    """Rules of the same names in every application, of every scope, exact and leased, one in shadow."""
    scopes = ("application", "key", "tag", "user", "model")
    return [
        LimitRule(f"{scope}-{app}", scope, scope, "requests", 40, "day", mode="leased" if scope == "model" else "exact")
        for scope in scopes
    ] + [LimitRule(f"shadow-{app}", "shadow", "tag", "tokens", 1, "month", shadow=True)]


class Installation(World):
    """Two applications on one gateway and one account at the provider."""

    def __init__(self, things: Things) -> None:
        super().__init__()
        self.things = things
        self.account = Account(things)
        self.transport = self.account  # type: ignore[assignment]
        self.objects = MemoryObjects()
        self.keeping = Keeping(MemoryResponses(), 30, 1 << 20, 10, 1 << 20)
        self.owner, self.neighbour = made(1), made(2)
        self.table = RouteTable([Route(("*",), self.targets)])
        accounts = Accounts(Settings(providers={"openai": ACCOUNT}), self.table, VAULT.open, ["openai"])
        self.releases = Releases(self.catalog, self.cache, self.clock, accounts=accounts)
        for key, app in ((self.owner, OWNER), (self.neighbour, NEIGHBOUR)):
            document = KeyDocument(
                f"key-{app}", app, app, key.public_id, requests_per_minute=50, store_responses=True, limits=rules_of(app)
            )
            if app == OWNER:
                routes = [{"models": [things.model], "targets": [{"provider": "openai", "model": f"{CANARY}-model"}]}]
                own = VAULT.seal("credential-1", app, "openai", f"sk-{CANARY}")
                banned = Guardrails(pre_validation=PreValidation(prohibited_terms=[things.term]))
                document = msgspec.structs.replace(document, routes=routes, credentials=[own], guardrails=banned)
            self.catalog.add_key(key.digest, document)

    @property
    def services(self) -> Services:
        provider = Provider(OpenAITranslator(), self.transport, OpenAIForwarder(), Target("openai", "", "http://one", "sk-1"))
        return msgspec.structs.replace(super().services, providers={"openai": provider}, objects=self.objects)

    async def settle(self) -> "Installation":
        """Let both have their things, and the owner use them."""
        things = self.things
        for app, slugs in ((OWNER, things.slugs), (NEIGHBOUR, ("faq", "own"))):
            mark = CANARY if app == OWNER else "plain"
            cache = AnswerCache(ttl_seconds=60, coalesce=True)
            for slug in slugs:
                for words in ("one", "two"):
                    content = VersionContent(messages=[MessageTemplate("user", f"{mark} {words}")], cache=cache)
                    self.catalog.add_version(app, slug, content)
                self.catalog.publish(app, slug, 1)
                self.catalog.publish(app, slug, 2, things.alias if app == OWNER else "staging")
        kept = StoredResponse(
            things.response, None, b'[{"role":"user","content":"CANARY"}]', b'{"id":"r","output":[],"metadata":"CANARY"}'
        )
        assert self.keeping is not None
        await self.keeping.store.put(OWNER, kept, now_ms=0, expires_ms=STARTED_MS + 1000)
        await self.objects.claim(OWNER, "openai", [things.file, things.batch])
        await self.objects.claim(NEIGHBOUR, "openai", ["file-own", "batch_own"])
        for slug in things.slugs:
            for _ in range(2):
                body = {"model": slug, "messages": HI, "user": things.tag}
                await self.ask(self.owner, "POST", "/v1/chat/completions", body, once=things.once, x_tags=things.tag)
        self.account.asked.clear()
        self.ledger.rows.clear()
        return self

    async def ask(self, key: NewKey, method: str, path: str, body: Any, query: str = "", **headers: str) -> Caller:
        """One request through the doors."""
        once = headers.pop("once", None)
        given = {**headers, **({"idempotency_key": once} if once else {}), "authorization": f"Bearer {key.text}"}
        inbound = self.inbound(b"" if body is None else body, **given)
        inbound = msgspec.structs.replace(inbound, door=doors.name_of(method, path), query=query)
        caller = self.caller()
        await doors.answer(method, path, inbound, self.services, caller)
        while self.memory._tasks:
            await asyncio.sleep(0)
        return caller


SELECTORS = ("", "@production", "@latest", "@hidden-real", ":1", ":2", ":9", "#aa11bb")
BY_ID = "pmpt_" + _id_of(OWNER, THERE.slugs[0]).replace("-", "")
NAMES = st.one_of(
    st.builds(lambda slug, selector: slug + selector, st.sampled_from(THERE.slugs), st.sampled_from(SELECTORS)),
    st.sampled_from([BY_ID, THERE.model]),
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "once": st.just(THERE.once),
        "x_prompt": st.sampled_from(THERE.slugs),
        "x_prompt_alias": st.sampled_from(["hidden-real", "production"]),
        "x_prompt_version": st.just("1"),
        "x_prompt_variant": st.just("a"),
        "x_session_id": st.just("s"),
        "x_tags": st.just(THERE.tag),
        "traceparent": st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    },
)
QUERIES = st.sampled_from(
    [
        "",
        "stream=true",
        "stream=true&starting_after=0",
        "limit=1",
        f"after={THERE.file}",
        f"after={THERE.batch}",
        f"after={THERE.response}",
    ]
)
SAID = st.sampled_from([HI, [{"role": "user", "content": f"about {THERE.term}"}]])


def body_for(door: str, name: str, stream: bool, said: Any = HI) -> Any:
    """What is asked at a door with the owner's names. A door that is not here has no test: give it one."""
    chat = {"model": name, "messages": said, "stream": stream, "user": THERE.tag}
    return {
        "chat": chat,
        "messages": {"model": name, "messages": said, "stream": stream, "max_tokens": 9, "metadata": {"user_id": THERE.tag}},
        "count_tokens": {"model": name, "messages": HI},
        "completions": {"model": name, "prompt": "Hi", "stream": stream},
        "responses": {"model": name, "input": "Hi", "previous_response_id": THERE.response, "stream": stream},
        "read_response": None,
        "delete_response": None,
        "cancel_response": None,
        "explain": chat,
        "render": {},
        "execute": {},
        "test": {"prompt": name, "application": OWNER},
        "models": None,
        "embeddings": {"model": "text-embedding-3-small", "input": "Hi"},
        "moderations": {"input": "Hi"},
        "images": {"model": "gpt-image-1", "prompt": "Hi"},
        "audio": {"model": "tts-1", "input": "Hi", "voice": "alloy"},
        "files": None,
        "batches": {"input_file_id": THERE.file, "endpoint": "/v1/chat/completions", "completion_window": "24h"},
    }[door]


def filled(path: str, name: str) -> str:
    """A path with the owner's names in it."""
    ids = {"/v1/responses": THERE.response, "/v1/files": THERE.file, "/v1/batches": THERE.batch}
    own = next((object_id for prefix, object_id in ids.items() if path.startswith(prefix)), name)
    slug = re.split("[@:#]", name)[0]
    values = {"id": own, "ref": name, "prompt_id": slug, "version": "1"}
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]].replace("#", "%23").replace("/", "%2F"), path)


async def seen(
    things: Things, method: str, path: str, name: str, stream: bool, headers: dict[str, str], query: str, said: Any
) -> list[Any]:
    """All that the neighbour and the books learn of its request, asked twice."""
    world = await Installation(things).settle()
    found: list[Any] = []
    for _ in range(2):
        body = body_for(doors.name_of(method, path), name, stream, said) if method == "POST" else None
        answer = await world.ask(world.neighbour, method, filled(path, name), body, query, **headers)
        head = {header: value for header, value in answer.head.items() if header != "server-timing"}
        found.append((answer.status, head, answer.body))
    rows = [
        (r.application_id, r.door, r.prompt, r.version, r.outcome, r.status, r.cost_nano, r.error, r.shadowed, r.guard)
        for r in world.ledger.rows
    ]
    return [found, world.account.asked, rows]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
@settings(max_examples=6)
@given(name=NAMES, stream=st.booleans(), headers=HEADERS, query=QUERIES, said=SAID)
def test_what_another_application_has_is_what_never_existed(
    method: str, path: str, name: str, stream: bool, headers: dict[str, str], query: str, said: Any
) -> None:
    there = asyncio.run(seen(THERE, method, path, name, stream, headers, query, said))
    elsewhere = asyncio.run(seen(ELSEWHERE, method, path, name, stream, headers, query, said))
    assert there == elsewhere
    assert CANARY not in repr(there)


async def generations(changes: list[tuple[str, int]]) -> list[int]:
    """What the neighbour is told after each of these changes, by workers that have just read its prompt."""
    world = await Installation(THERE).settle()
    found: list[int] = []
    for app, version in [("", 0), *changes]:
        if app:
            world.catalog.publish(app, THERE.slugs[0] if app == OWNER else "faq", version)
        nothing_kept = MemoryAnswers(world.clock)
        world.memory = Memory(nothing_kept, max_bytes=1 << 20, keep_seconds=60, sleep=world.clock.sleep)
        world.releases = Releases(world.catalog, MemoryCache(), world.clock)
        answer = await world.ask(world.neighbour, "POST", "/v1/chat/completions", {"model": "faq", "messages": HI})
        found.append(int(answer.head["x-prompt-generation"]))
    return found


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from([OWNER, NEIGHBOUR]), st.integers(1, 2)), max_size=6))
def test_the_generation_tells_of_own_changes_alone(changes: list[tuple[str, int]]) -> None:
    told = asyncio.run(generations(changes))
    for (app, _), before, after in zip(changes, told, told[1:], strict=False):
        assert after == before + (app == NEIGHBOUR)
    alone = asyncio.run(generations([change for change in changes if change[0] == NEIGHBOUR]))
    assert told[-1] == alone[-1], "the number itself is the application's own"


def test_the_owner_itself_is_answered_otherwise() -> None:
    """So the property can fail: what it holds apart is there."""

    named_in_the_body = {
        ("POST", f"/v1/{door}") for door in ("chat/completions", "completions", "messages", "responses", "batches")
    }
    named_in_the_body |= {("POST", "/v1/explain"), ("GET", "/v1/models"), ("GET", "/v1/files"), ("GET", "/v1/batches")}

    async def run() -> None:
        for method, path in ROUTES:
            ends = []
            for things in (THERE, ELSEWHERE):
                world = await Installation(things).settle()
                body = body_for(doors.name_of(method, path), "secret-real", stream=False) if method == "POST" else None
                answer = await world.ask(world.owner, method, filled(path, "secret-real"), body)
                ends.append((answer.status, answer.body))
            if "{" in path or (method, path) in named_in_the_body:
                assert ends[0] != ends[1], (method, path)

    asyncio.run(run())


def test_the_owner_alone_has_its_route_and_its_account() -> None:
    """So the property can fail by them too."""

    async def run() -> None:
        world = await Installation(THERE).settle()
        body = {"model": THERE.model, "messages": HI}
        for key in (world.owner, world.neighbour):
            await world.ask(key, "POST", "/v1/chat/completions", body)
        assert [key for *_, key in world.account.asked] == [f"sk-{CANARY}", "sk-1"]
        assert [CANARY.encode() in sent for _, _, sent, _ in world.account.asked] == [True, False]

    asyncio.run(run())


@settings(max_examples=8)
@given(order=st.permutations([OWNER, NEIGHBOUR, NEIGHBOUR]), once=st.booleans())
def test_equal_requests_of_two_applications_are_two_calls(order: list[str], once: bool) -> None:
    """Neither a kept answer, nor one on its way, nor an idempotency key is shared, though prompt, words and key are the same."""

    async def run() -> None:
        world = await Installation(THERE).settle()
        keys = {OWNER: world.owner, NEIGHBOUR: world.neighbour}
        body = {"model": "faq", "messages": [{"role": "user", "content": "something new"}]}
        headers = {"once": "the same"} if once else {}
        answers = await asyncio.gather(
            *[world.ask(keys[app], "POST", "/v1/chat/completions", body, **headers) for app in order]
        )
        assert all(answer.status == 200 for answer in answers)
        for app, answer in zip(order, answers, strict=True):
            assert (CANARY in answer.body.decode()) is (app == OWNER)
        assert sorted(CANARY.encode() in sent for _, _, sent, _ in world.account.asked) == [False, True], "one call of each"

    asyncio.run(run())


@settings(max_examples=4)
@given(calls=st.integers(1, 60))
def test_what_an_application_spends_is_its_own(calls: int) -> None:
    async def run() -> None:
        world = await Installation(THERE).settle()
        body = {"model": "gpt-4o-mini", "messages": HI}
        for _ in range(calls):
            await world.ask(world.owner, "POST", "/v1/chat/completions", body)
        answer = await world.ask(world.neighbour, "POST", "/v1/chat/completions", body)
        assert (answer.status, answer.head["x-ratelimit-remaining-requests"]) == (200, "39")

    asyncio.run(run())
