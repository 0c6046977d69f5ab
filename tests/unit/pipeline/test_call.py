"""Attempts: another target only before the first event, one row per attempt, connections closed exactly once."""

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gateway.core.errors import UPSTREAM_INCOMPLETE, UPSTREAM_UNREACHABLE, GatewayError
from gateway.core.requests import ChatRequest, Inbound
from gateway.core.upstream import CHAT, HttpRequest, Target, UpstreamCall
from gateway.dialects.chat import ChatDialect
from gateway.providers.openai import OpenAITranslator

TWO = (Target("openai", "first-model", "http://one", "sk-1"), Target("second", "", "http://two", ""))


@pytest.fixture
def pair(world: Any) -> Any:
    """A route with two targets; the second keeps the asked name."""
    world.targets = TWO
    return world


@pytest.mark.parametrize("stream", [False, True])
async def test_the_next_target_answers_when_the_first_cannot(pair: Any, say: Any, stream: bool) -> None:
    pair.script(failed := say.refusal(500))
    good = say.stream(say.delta("Hi", finish="stop"), say.usage() + say.DONE) if stream else say.completion("Hi")
    pair.script(good, provider="second")
    caller = await pair.call(say.chat(model="my-model", stream=stream))
    assert caller.head["x-provider"] == "second"
    assert caller.head["x-attempts"] == "2"
    assert [step for step in pair.steps if " " in step] == [
        "intent 1", "send openai", "row 1 upstream_error", "intent 2", "send second", "row 2 ok",
    ]  # fmt: skip
    first, second = pair.ledger.rows
    assert first.call_id == second.call_id
    assert (first.provider, first.model, first.status, first.cost_nano, first.output_tokens) == (
        "openai",
        "first-model",
        502,
        None,
        None,
    )
    assert (second.provider, second.model, second.attempts) == ("second", "my-model", 2)
    assert [
        b'"model":"first-model"' in pair.transport.requests[0][1].body,
        b'"model":"my-model"' in pair.transport.requests[1][1].body,
    ] == [True, True]
    assert dict(pair.transport.requests[0][1].headers)[b"authorization"] == b"Bearer sk-1"
    assert b"authorization" not in dict(pair.transport.requests[1][1].headers)
    assert failed.closed == good.closed == 1


async def test_the_first_targets_key_never_goes_to_the_second(pair: Any, say: Any) -> None:
    pair.script(GatewayError(UPSTREAM_UNREACHABLE, "away"))
    pair.script(say.completion(), provider="second")
    await pair.call()
    assert "sk-1" not in repr(pair.transport.requests[1][1])


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_refusal_of_the_request_itself_is_not_tried_elsewhere(pair: Any, say: Any, status: int) -> None:
    pair.script(say.refusal(status, "bad field"))
    error = await pair.fail("upstream_rejected")
    assert (error.status, error.detail) == (status, "bad field")
    assert [row.attempt for row in pair.ledger.rows] == [1]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504, 529, 302])
async def test_a_refusal_of_the_account_or_the_server_is(pair: Any, say: Any, status: int) -> None:
    pair.script(say.refusal(status))
    pair.script(say.completion(), provider="second")
    assert (await pair.call()).status == 200
    assert [row.outcome for row in pair.ledger.rows][1] == "ok"
    assert pair.ledger.rows[0].outcome.startswith("upstream_")


async def test_the_last_failure_is_the_answer(pair: Any, say: Any) -> None:
    pair.script(say.refusal(500))
    pair.script(say.refusal(429), provider="second")
    await pair.fail("upstream_rate_limited")
    assert [(row.attempt, row.outcome) for row in pair.ledger.rows] == [(1, "upstream_error"), (2, "upstream_rate_limited")]


async def test_after_the_deadline_nobody_else_is_tried(pair: Any, say: Any) -> None:
    pair.script(say.refusal(500))
    pair.script(say.completion(), provider="second")
    await pair.fail("upstream_error", x_request_timeout_ms="1")
    assert [row.attempt for row in pair.ledger.rows] == [1]


async def test_after_the_first_event_nobody_else_is_tried(pair: Any, say: Any) -> None:
    pair.script(say.stream(say.delta("I was say"), GatewayError(UPSTREAM_INCOMPLETE, "cut")))
    pair.script(say.completion(), provider="second")
    caller = pair.caller()
    await pair.fail("upstream_incomplete", say.chat(stream=True), caller)
    assert [row.attempt for row in pair.ledger.rows] == [1]
    assert pair.transport.scripts["second"]


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ([], "upstream_incomplete"),
        ([b"data: [DONE]\n\n"], "upstream_incomplete"),
        ([b": ping\n\n", b"data: [DONE]\n\n"], "upstream_incomplete"),
        ([b"data: {nonsense\n\n"], "upstream_invalid"),
        ([b'data: {"error":{"message":"broke"}}\n\n'], "upstream_error"),
    ],
)
async def test_a_stream_that_fails_before_its_first_event_can_be_tried_elsewhere(
    pair: Any, say: Any, pieces: list[bytes], kind: str
) -> None:
    pair.script(bad := say.stream(*pieces))
    pair.script(say.stream(say.delta("ok"), say.DONE), provider="second")
    caller = await pair.call(say.chat(stream=True))
    assert caller.chunks[0]["choices"][0]["delta"]["content"] == "ok"
    assert pair.ledger.rows[0].outcome == kind
    assert bad.closed == 1


async def test_a_stream_without_its_end_is_incomplete(world: Any, say: Any) -> None:
    world.script(say.stream(say.delta("almost", finish="stop")))
    caller = world.caller()
    await world.fail("upstream_incomplete", say.chat(stream=True), caller)
    assert b"[DONE]" not in caller.body


async def test_a_page_instead_of_a_stream_is_invalid_and_stays_private(world: Any, say: Any) -> None:
    page = say.refusal(200, "<html>internal host 10.0.0.7</html>")
    world.script(page)
    error = await world.fail("upstream_invalid", say.chat(stream=True))
    assert "10.0.0.7" not in error.detail
    assert "10.0.0.7" in (error.cause or "")
    assert page.closed == 1


async def test_a_refusal_whose_body_cannot_be_read_is_judged_by_its_status(world: Any, say: Any) -> None:
    broken = say.refusal(503)
    broken.pieces = [GatewayError(UPSTREAM_INCOMPLETE, "cut")]
    world.script(broken)
    error = await world.fail("upstream_error")
    assert error.detail == "openai answered 503"
    assert broken.closed == 1


async def test_an_answer_that_is_no_completion_is_invalid(world: Any, say: Any) -> None:
    bad = say.refusal(200)
    world.script(bad)
    await world.fail("upstream_invalid")
    assert bad.closed == 1
    assert world.row.first_byte_us is None


async def test_comments_between_events_are_waited_through(world: Any, say: Any) -> None:
    world.script(
        say.stream(b": ping\n\n", say.delta("a"), b": ping\n\n", b": ping\n\n", say.delta("b"), say.usage() + say.DONE)
    )
    caller = await world.call(say.chat(stream=True))
    assert [chunk["choices"][0]["delta"]["content"] for chunk in caller.chunks] == ["a", "b"]


async def test_a_failed_attempts_row_says_what_it_waited(world: Any, say: Any) -> None:
    world.targets = TWO
    slow = say.refusal(500)
    slow.pieces.insert(0, 2.0)
    world.script(slow)
    world.script(say.completion(), provider="second")
    await world.call()
    first, second = world.ledger.rows
    assert second.upstream_us >= 2_000_000
    assert first.upstream_us >= 2_000_000


async def test_what_came_before_a_failure_in_the_same_read_is_shown(world: Any, say: Any) -> None:
    world.script(
        say.stream(say.delta("first") + say.delta("second") + b'data: {"error":{"message":"broke"}}\n\n' + say.delta("never"))
    )
    caller = world.caller()
    error = await world.fail("upstream_error", say.chat(stream=True), caller)
    assert error.detail == "broke"
    assert [chunk["choices"][0]["delta"]["content"] for chunk in caller.chunks] == ["first", "second"]
    assert world.row.output_tokens == 3


# --- dialects -----------------------------------------------------------------------------------------------------------


class Drawl(ChatDialect):
    """A client format of its own: ``top`` is its word for a field, ``odd`` has no form in chat."""

    name = "drawl"

    def read(self, inbound: Inbound) -> ChatRequest:
        request = super().read(inbound)
        request.native = dict(request.fields)
        request.untranslatable = "odd" if "odd" in request.fields else None
        if "top" in request.fields:
            request.fields["top_p"] = request.fields.pop("top")
        return request


class Drawling(OpenAITranslator):
    """A provider that speaks it too, and says so in its requests."""

    def __init__(self) -> None:
        super().__init__()
        self.speaks = frozenset({CHAT, "drawl"})

    def request(self, target: Target, call: UpstreamCall) -> HttpRequest:
        if call.dialect == CHAT:
            return super().request(target, call)
        return HttpRequest("/drawl", (), msgspec.json.encode({**call.native, "stored": dict(call.stored)}))


async def test_each_attempt_is_held_in_the_callers_dialect_if_the_provider_speaks_it(pair: Any, say: Any) -> None:
    pair.dialect, pair.translators = Drawl(), {"second": Drawling()}
    pair.publish("faq", ("system", "Hi"), params={"top_p": 0.5, "seed": 1}, overridable=["top_p"])
    pair.script(say.refusal(500))
    pair.script(say.completion(), provider="second")
    await pair.call(say.chat(prompt={"id": "faq"}, top=Raw(b"0.250")))
    (_, plain), (_, native) = pair.transport.requests
    assert plain.path == "/chat/completions"
    assert msgspec.json.decode(plain.body).items() >= {"top_p": 0.25, "seed": 1}.items()
    assert native.path == "/drawl"
    assert native.body == b'{"top":0.250,"stored":{"seed":1}}'


async def test_what_has_no_chat_form_is_refused_by_name_where_chat_is_all_that_is_spoken(pair: Any, say: Any) -> None:
    pair.dialect, pair.translators = Drawl(), {"openai": Drawling()}
    pair.script(say.completion())
    await pair.call(say.chat(odd=1))
    pair.translators = {}
    error = await pair.fail("malformed", say.chat(odd=1))
    assert error.param == "odd"
    assert len(pair.transport.requests) == 1
