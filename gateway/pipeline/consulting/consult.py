"""Asking every guard of a stage that judges outside the process, all at one time, and what follows from what they say.

Each has its own time limit and all together have the section's. Who has not answered by then, or not in a form that can be read, could
not judge: ``on_error`` says what follows, and it is counted either way. The first word that ends the call ends the waiting.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from gateway.core.errors import GUARD_UNAVAILABLE, GatewayError
from gateway.core.journal import Journal
from gateway.core.verdicts import Block, Note, NoteAction, Stage
from gateway.guards.remote.asking import (
    NOTHING_FOUND,
    AnswerError,
    AsksForBytes,
    AsksForCounts,
    AsksForVectors,
    ChatQuestion,
    HttpQuestion,
    Matter,
    Opinion,
)
from gateway.guards.rules import BLOCKING, RemoteRule
from gateway.pipeline.consulting.carrying import Carrier
from gateway.pipeline.consulting.masking import Marked

_log = logging.getLogger("gateway.guards")


class Matters(Struct, frozen=True):
    """What the guards of a stage judge."""

    text: Matter
    calls: Matter | None = None
    """Of those that judge tool calls; None: there are none, and nobody need be asked."""

    def of(self, rule: RemoteRule) -> Matter | None:
        """What a rule judges."""
        return self.calls if rule.calls else self.text


class Ruling(Struct, frozen=True):
    """What the guards of a stage came to."""

    block: Block | None = None
    texts: tuple[str, ...] | None = None
    """What goes on in the place of the judged texts."""
    marked: tuple[Marked, ...] = ()
    """What is to be written over in them."""
    calls: tuple[str, ...] | None = None
    """What goes on in the place of the texts of tool calls."""
    calls_by: RemoteRule | None = None
    """Whose texts these are."""
    marked_calls: tuple[Marked, ...] = ()
    """What is to be written over in tool calls."""


class _Silence(Struct, frozen=True):
    """It could not judge."""

    cause: str


async def consult(wanted: Sequence[RemoteRule], seconds: float, matters: Matters, carrier: Carrier, journal: Journal) -> Ruling:
    """Ask all that have something to judge. Raises ``guard_unavailable`` where one that must judge could not."""
    with_matters = [(rule, matter) for rule in wanted if (matter := matters.of(rule)) is not None]
    rules = [rule for rule, _ in with_matters]
    asked = [asyncio.ensure_future(_opinion(rule, matter, carrier)) for rule, matter in with_matters]
    heard: dict[int, Opinion | _Silence] = {}
    waiting = set(asked)
    try:
        async with asyncio.timeout(seconds):
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                heard |= {asked.index(task): task.result() for task in done}
                if any(_ends(rules[i], said) for i, said in heard.items()):
                    break
    except TimeoutError:
        late = _Silence(f"no answer within the {seconds:g} s of all guards together")
        heard |= {asked.index(task): late for task in waiting}
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return _ruled([(rules[i], heard[i]) for i in sorted(heard)], matters.text.stage, journal)


async def _opinion(rule: RemoteRule, matter: Matter, carrier: Carrier) -> Opinion | _Silence:
    try:
        async with asyncio.timeout(rule.seconds):
            return await _asked(rule, matter, carrier)
    except TimeoutError:
        return _Silence("no answer in time")
    except AnswerError as error:
        return _Silence(str(error))
    except GatewayError as error:
        return _Silence(f"{error.kind.name}: {error.detail}")


async def _asked(rule: RemoteRule, matter: Matter, carrier: Carrier) -> Opinion:
    remote, seconds = rule.remote, rule.seconds
    if isinstance(remote, AsksForVectors):
        wanted = remote.question(matter)
        if wanted is None:
            return NOTHING_FOUND
        texts, examples = await carrier.vectors(wanted, seconds)
        return await asyncio.to_thread(remote.compare, texts, examples)
    if isinstance(remote, AsksForCounts):
        tokens = remote.question(matter)
        if tokens is None:
            return NOTHING_FOUND
        measured = await carrier.services.tokens.measure(tokens.model, list(tokens.texts))
        return remote.judged([(one.tokens, one.exact) for one in measured], matter)
    if not isinstance(remote, AsksForBytes):
        raise AnswerError("its type asks nobody")
    question = remote.question(matter)
    if question is None:
        return NOTHING_FOUND
    if isinstance(question, HttpQuestion):
        body = await carrier.http(question, seconds)
    elif isinstance(question, ChatQuestion):
        body = await carrier.chat(question, seconds)
    else:
        body = await carrier.moderation(question, seconds)
    opinion = remote.read(body, matter)
    if rule.masks and opinion.found and opinion.spans is None and opinion.texts is None:
        raise AnswerError("it found something, and does not say where")
    return opinion


def _ends(rule: RemoteRule, heard: "Opinion | _Silence") -> bool:
    """Whether nothing that others say matters any more."""
    if rule.validator.mode == "observe":
        return False
    if isinstance(heard, _Silence):
        return rule.validator.on_error == "closed"
    return heard.texts is None and bool(heard.found) and rule.validator.on_fail in BLOCKING


def _ruled(heard: "Sequence[tuple[RemoteRule, Opinion | _Silence]]", stage: Stage, journal: Journal) -> Ruling:
    block: Block | None = None
    texts: tuple[str, ...] | None = None
    calls: tuple[str, ...] | None = None
    calls_by: RemoteRule | None = None
    marked: list[Marked] = []
    for rule, said in heard:
        enforced = rule.validator.mode == "enforce"
        if isinstance(said, _Silence):
            _unheard(rule, said, stage, journal)
        elif said.texts is not None:
            _note(rule, "replace", said.found, stage, journal)
            if enforced and rule.calls:
                calls, calls_by = said.texts, rule
            elif enforced:
                texts = said.texts
        elif said.found:
            validator = rule.validator
            _note(rule, validator.on_fail, said.found, stage, journal)
            if rule.rewrites and said.spans:
                marked.append(Marked(rule, said.spans))
            if enforced and validator.on_fail in BLOCKING and block is None:
                block = rule.block(f"found {', '.join(dict.fromkeys(said.found))}")
    in_calls = tuple([mark for mark in marked if mark.rule.calls])
    return Ruling(block, texts, tuple([mark for mark in marked if not mark.rule.calls]), calls, calls_by, in_calls)


def _unheard(rule: RemoteRule, silence: _Silence, stage: Stage, journal: Journal) -> None:
    validator = rule.validator
    closed = validator.on_error == "closed"
    _log.warning("a guard could not judge", extra={"guard": rule.guard, "cause": silence.cause, "on_error": validator.on_error})
    _note(rule, "error_closed" if closed else "error_open", ("error",), stage, journal)
    if closed and validator.mode == "enforce":
        place = f"{stage}:{rule.guard}"
        raise GatewayError(
            GUARD_UNAVAILABLE,
            f"The guardrail {rule.guard!r} could not judge, and is set to refuse then.",
            param=place,
            cause=silence.cause,
            retry_after=1,
        )


def _note(rule: RemoteRule, action: NoteAction, found: Sequence[str], stage: Stage, journal: Journal) -> None:
    validator = rule.validator
    place: Stage = "tools" if rule.calls else stage
    journal.notes.append(Note(place, rule.guard, action, validator.mode, dict(Counter(found))))
