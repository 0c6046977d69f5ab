"""The hold-back: events keep their bytes and their order, a violation is never shown, and cutting changes nothing."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec import structs

from gateway.core.documents import Guardrails, PostValidation, Validator
from gateway.core.errors import GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.requests import Inbound
from gateway.guards.plan import LONG_LISTED, OutputGuard, compile_guards
from gateway.pipeline.apart import Apart, T
from gateway.pipeline.gates import OPEN
from gateway.pipeline.guard_out import Guarded, gate_of
from tests.unit.pipeline.conftest import DONE, World, chat, delta, stream, usage


class Batches:
    """An answer in given batches."""

    def __init__(self, batches: list[list[Event]]) -> None:
        self.batches = list(batches)
        self.texts: list[str] = []
        self.log: list[str] = []
        self.native = True

    def whole(self) -> Event:
        (event,) = self.batches.pop(0)
        return event

    async def next(self) -> list[Event]:
        return self.batches.pop(0) if self.batches else []

    async def drain(self) -> None:
        self.log.append("drain")

    def close(self) -> None:
        self.log.append("close")


class NoThreads(Apart):
    """Fails where something is judged in a thread."""

    async def do(self, work: Callable[[], T]) -> T:
        raise AssertionError("short texts, and lists in a stream, are judged where they are")


def journal() -> Journal:
    return Journal(Inbound("chat", {}, b"", "id", "id", 0, 0.0, 1.0))


def events(*texts: str, choice: int = 0) -> list[Event]:
    return [Event(f"{choice}:{i}:{text}".encode(), ((choice, text),) if text else ()) for i, text in enumerate(texts)]


def behind(guard: OutputGuard | None, answer: Batches, made: Journal, *, streamed: bool = True) -> Guarded:
    """The answer behind the gate of a guard that has something to judge."""
    gate = gate_of(guard, {}, made, streamed=streamed, chat=False, limit=1 << 20)
    assert gate is not None
    return Guarded(answer, gate, NoThreads())


def guarded(
    batches: list[list[Event]], say: Any, *, streamed: bool = True, **terms: list[str]
) -> tuple[Guarded, Journal, Batches]:
    made, answer = journal(), Batches(batches)
    return behind(compile_guards(say.guardrails(**terms)).post, answer, made, streamed=streamed), made, answer


async def all_of(guard: Guarded) -> list[Event]:
    shown: list[Event] = []
    while batch := await guard.next():
        shown += batch
    return shown


@pytest.mark.parametrize("streamed", [False, True])
def test_without_guards_nothing_stands_before_an_answer(say: Any, streamed: bool) -> None:
    for guard in (None, compile_guards(say.guardrails()).post):
        assert gate_of(guard, {}, journal(), streamed=streamed, chat=False, limit=1) is None


async def test_what_is_only_translated_passes_as_it_is() -> None:
    batch = events("a", "b")
    answer = Batches([batch])
    guard = Guarded(answer, OPEN, NoThreads(), translated=True)
    assert not guard.native
    assert Guarded(answer, OPEN, NoThreads()).native
    assert await guard.next() is batch
    assert await guard.next() == []
    await guard.drain()
    guard.close()
    assert answer.log == ["drain", "close"]
    answer.texts.append("x")
    assert guard.texts == ["x"]
    whole = Guarded(Batches([batch[:1]]), OPEN, NoThreads(), translated=True)
    await whole.judge()
    assert whole.whole() is batch[0]


async def test_lists_judge_a_stream_where_it_is_however_much_comes_at_once(say: Any) -> None:
    batch = events("word " * (LONG_LISTED // 4))
    guard, _, _ = guarded([batch, events("fine.")], say, post=["secret"])
    assert await guard.next() == batch
    assert [event.texts for event in await all_of(guard)] == [((0, "fine."),)]


async def test_a_clean_stream_keeps_bytes_and_order_and_the_end_is_let_go(say: Any) -> None:
    given = events("Hello ", "wor", "", "ld and", " sec", "ond", "")
    guard, _, _ = guarded([[event] for event in given], say, post=["secret"])
    assert [event.data for event in await all_of(guard)] == [event.data for event in given]


async def test_only_what_could_become_a_violation_waits(say: Any) -> None:
    given = events("Hello there. ", "sec", "ond hand")
    guard, _, _ = guarded([[event] for event in given], say, post=["secret"])
    assert await guard.next() == given[:1]
    assert await guard.next() == given[1:]


async def test_a_violation_across_events_is_never_shown(say: Any) -> None:
    given = events("fine. ", "se", "cr", "et", " more")
    guard, made, _ = guarded([[event] for event in given], say, post=["secret"])
    assert await guard.next() == given[:1]
    with pytest.raises(GatewayError) as caught:
        await guard.next()
    assert caught.value.kind.name == "blocked"
    assert made.guard == "post:prohibited_terms"


async def test_a_violation_at_the_very_end(say: Any) -> None:
    guard, _, _ = guarded([events("all "), events("secret")], say, post=["secret"])
    with pytest.raises(GatewayError):
        await all_of(guard)


async def test_choices_are_judged_apart(say: Any) -> None:
    mixed = [
        Event(b"1", ((0, "se"),)),
        Event(b"2", ((1, "cret "),)),
        Event(b"3", ((0, "ction "), (1, "x "))),
        Event(b"4", ((1, "y "), (0, "z "))),
    ]
    guard, _, _ = guarded([mixed], say, post=["secret"])
    assert [event.data for event in await all_of(guard)] == [b"1", b"2", b"3", b"4"]
    split = [Event(b"1", ((0, "sec"), (1, "sec"))), Event(b"2", ((1, "ond "), (0, "ret ")))]
    guard, _, _ = guarded([split], say, post=["secret"])
    with pytest.raises(GatewayError):
        await all_of(guard)


async def test_an_event_of_another_choice_never_overtakes(say: Any) -> None:
    given = [Event(b"1", ((0, "sec"),)), Event(b"2", ((1, "free "),)), Event(b"3", ((0, "tion "),))]
    guard, _, _ = guarded([[event] for event in given], say, post=["secret"])
    assert [event.data for event in await guard.next()] == [b"1", b"2", b"3"]


async def test_a_required_element_missing_at_the_end(say: Any) -> None:
    guard, made, _ = guarded([events("no such thing")], say, required=["disclaimer"])
    with pytest.raises(GatewayError):
        await all_of(guard)
    assert made.guard == "post:required_elements"
    guard, _, _ = guarded([events("Our Discl"), events("aimer.")], say, required=["disclaimer"])
    assert len(await all_of(guard)) == 2


def test_a_whole_answer_is_judged_at_once(say: Any) -> None:
    whole = [Event(b"x", ((0, "clean"), (1, "a secret")))]
    guard, made, _ = guarded([whole], say, streamed=False, post=["secret"])
    with pytest.raises(GatewayError):
        guard.whole()
    assert made.guard == "post:prohibited_terms"
    guard, _, _ = guarded([events("clean")], say, streamed=False, post=["secret"])
    assert guard.whole().texts == ((0, "clean"),)


async def test_a_stream_is_ended_as_soon_as_it_is_too_long() -> None:
    """Not at its end: what was allowed is out by then, and nothing more of the upstream is read."""
    length = Validator("length", options={"max_words": 3})
    plan = compile_guards(Guardrails(post_validation=PostValidation(validators=[length])))
    given = events("one ", "two ", "three ", "", "fo", "ur", " five")
    answer, made = Batches([[event] for event in given]), journal()
    guard = behind(plan.post, answer, made)
    assert [await guard.next() for _ in range(4)] == [[event] for event in given[:4]]
    with pytest.raises(GatewayError, match="too_long: words"):
        await guard.next()
    assert made.guard == "post:length"
    assert len(answer.batches) == 2


async def test_a_stream_that_may_be_too_short_waits_and_is_still_ended_when_it_is_too_long() -> None:
    length = Validator("length", options={"min_words": 2, "max_words": 3})
    plan = compile_guards(Guardrails(post_validation=PostValidation(validators=[length])))
    for texts, found in (
        (["one two ", "three"], None),
        (["one"], "too_short: words"),
        (["a ", "b ", "c ", "d", "e"], "too_long: words"),
    ):
        answer = Batches([[event] for event in events(*texts)])
        guard = behind(plan.post, answer, journal())
        if found is None:
            assert [event.data for event in await guard.next()] == [event.data for event in events(*texts)]
            continue
        with pytest.raises(GatewayError, match=found):
            await guard.next()
        assert len(answer.batches) == (1 if "long" in found else 0)


def thought(*texts: str) -> list[Event]:
    return [Event(msgspec.json.encode({"choices": [{"index": 0, "delta": {"reasoning_content": text}}]})) for text in texts]


@pytest.mark.parametrize("beside", [False, True], ids=["quick", "validators"])
async def test_what_a_model_thinks_is_judged_too_and_apart_from_what_it_says(say: Any, beside: bool) -> None:
    """A term that begins in a thought does not end in the answer, and a thought needs no required element."""

    def judged(batches: list[list[Event]], *, streamed: bool = True) -> Guarded:
        rails = say.guardrails(post=["secret"])
        post = rails.post_validation
        validators = [Validator("regex", options={"pattern": "x{9}"})] if beside else []
        rails = Guardrails(
            rails.pre_validation, structs.replace(post, validators=validators, required_elements=[] if beside else ["ok"])
        )
        return behind(compile_guards(rails).post, Batches(batches), journal(), streamed=streamed)

    mixed = [*thought("it is sec"), *events("ret is ok"), *thought("ond nature")]
    assert await all_of(judged([[event] for event in mixed])) == mixed
    guard = judged([[event] for event in [*events("ok"), *thought("it is ", "sec", "ret", " now")]])
    assert (await guard.next())[0].texts == ((0, "ok"),)
    assert await guard.next() == thought("it is ")
    with pytest.raises(GatewayError, match="prohibited term 'secret'"):
        await guard.next()
    with pytest.raises(GatewayError, match="prohibited term 'secret'"):
        await all_of(judged([[*events("ok"), *thought("a sec", "ret")]]))
    whole = msgspec.json.encode({"choices": [{"message": {"reasoning": "a secret"}}]})
    with pytest.raises(GatewayError, match="prohibited term 'secret'"):
        judged([[Event(whole, ((0, "ok"),))]], streamed=False).whole()
    assert judged([[Event(b"{}", ((0, "ok"),))]], streamed=False).whole().data == b"{}"


async def test_a_stream_that_nobody_judges_is_passed_on_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stands in its way, so that none of its batches costs a step more."""

    class Never(Guarded):
        def __init__(self, *given: Any, **named: Any) -> None:
            raise AssertionError("there is nothing to judge")

    monkeypatch.setattr("gateway.pipeline.guard_out.Guarded", Never)
    world.script(stream(delta("Hel"), delta("lo"), delta(finish="stop"), usage(1, 2), DONE))
    caller = await world.call(chat(stream=True))
    assert caller.frames[-1] == "[DONE]"
