"""No application sees, or can tell from an answer, what another has asked: whatever it asks, and however equal its prompts are."""

import asyncio
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.documents import AnswerCache, KeyDocument, MessageTemplate, VersionContent
from gateway.core.keys import make
from gateway.edge.openai import chat as door
from tests.unit.pipeline.conftest import Exchange, World, chat, completion

APPS = ("app-1", "app-2")
QUESTIONS = ("a", "b")
KEYS = (None, "k1", "k2")
CALL = st.tuples(
    st.sampled_from(APPS), st.sampled_from(QUESTIONS), st.booleans(), st.sampled_from(KEYS), st.sampled_from(["faq", "once"])
)


class Answering:
    """A provider whose every answer is another one: what it says names the call that it was made for."""

    def __init__(self) -> None:
        self.asked = 0

    async def send(self, target: Any, request: Any, deadline: float) -> Exchange:
        self.asked += 1
        body = msgspec.json.decode(request.body)
        owner = body["messages"][0]["content"]
        text = f"{owner} answer {self.asked}"
        if not body.get("stream"):
            return completion(text)
        chunks = [
            {"id": "c", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]},
            {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
        ]
        frames = [b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks]
        return Exchange(200, b"text/event-stream", [*frames, b"data: [DONE]\n\n"])

    async def close(self) -> None: ...


def two_tenants() -> tuple[World, dict[str, str]]:
    """A world in which two applications have the same prompts, word for word but for one canary, under the same names."""
    world = World()
    world.transport = Answering()  # type: ignore[assignment]
    keys: dict[str, str] = {}
    for number, app in enumerate(APPS):
        key = make(lambda n, number=number: bytes([number + 7]) * n)
        keys[app] = key.text
        world.releases.apply(world.catalog.add_key(key.digest, KeyDocument(f"key-{app}", app, app, key.public_id)))
        for slug, cache in (("faq", AnswerCache(ttl_seconds=60, coalesce=True)), ("once", AnswerCache())):
            content = VersionContent(messages=[MessageTemplate("user", "{{ q }}")], cache=cache)
            version = world.catalog.add_version(app, slug, content)
            world.releases.apply(world.catalog.publish(app, slug, version, "production"))
    return world, keys


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CALL, st.booleans()), min_size=1, max_size=12))
def test_no_application_sees_or_infers_what_another_has_asked(plan: list[tuple[Any, bool]]) -> None:
    """Each application's answers and headers are what they would be if it were alone."""

    async def play(only: str | None) -> list[tuple[str, str, str | None, str | None]]:
        world, keys = two_tenants()
        seen: list[tuple[str, str, str | None, str | None]] = []

        async def one(app: str, question: str, stream: bool, key: str | None, slug: str) -> None:
            headers: dict[str, Any] = {"authorization": f"Bearer {keys[app]}"}
            if key is not None:
                headers["idempotency_key"] = key
            caller = world.caller()
            body = chat(question, model=slug, messages=[], variables={"q": question}, stream=stream)
            await door(world.inbound(body, **headers), world.services, caller)
            seen.append((app, str(caller.status), caller.head.get("x-cache"), caller.head.get("idempotent-replayed")))

        batch: list[Any] = []
        for call, together in plan:
            if only in {None, call[0]}:
                batch.append(one(*call))
            if not together:
                await asyncio.gather(*batch)
                batch.clear()
                while world.memory._tasks:
                    await asyncio.sleep(0)
        await asyncio.gather(*batch)
        while world.memory._tasks:
            await asyncio.sleep(0)
        return seen

    everybody = asyncio.run(play(None))
    for app in APPS:
        alone = asyncio.run(play(app))
        assert sorted(map(str, alone)) == sorted(str(end) for end in everybody if end[0] == app)


@settings(max_examples=30, deadline=None)
@given(st.permutations([*APPS, *APPS]), st.booleans(), st.sampled_from(KEYS))
def test_the_same_words_get_each_application_its_own_answer(order: list[str], stream: bool, key: str | None) -> None:
    async def run() -> None:
        world, keys = two_tenants()
        answers: dict[str, set[bytes]] = {app: set() for app in APPS}
        for app in order:
            caller = world.caller()
            headers: dict[str, Any] = {"authorization": f"Bearer {keys[app]}", **({"idempotency_key": key} if key else {})}
            body = chat("q", model="faq", messages=[], variables={"q": "q"}, stream=stream)
            await door(world.inbound(body, **headers), world.services, caller)
            answers[app].add(caller.body)
            while world.memory._tasks:
                await asyncio.sleep(0)
        numbers = {
            app: {n for n in "1234" for body in bodies if f"answer {n}".encode() in body} for app, bodies in answers.items()
        }
        assert all(len(found) == 1 for found in numbers.values())
        assert not numbers["app-1"] & numbers["app-2"]

    asyncio.run(run())
