"""Where the guards that ask others stand in the sentence.

Before the call those that may rewrite, beside it those that only judge what goes in, and after it those that judge the answer.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from gateway.core.conversation import Conversation
from gateway.core.errors import UPSTREAM_INVALID, GatewayError
from gateway.core.events import Event
from gateway.core.journal import Journal
from gateway.core.verdicts import Block, Stage
from gateway.guards import incoming
from gateway.guards.edits import Write
from gateway.guards.plan import GuardPlan
from gateway.guards.remote.asking import BESIDE, SPOKEN, Matter
from gateway.guards.remote.tokens import TokensGuard
from gateway.guards.rules import RemoteRule
from gateway.limits.tokens import estimate
from gateway.pipeline.consulting.answers import Answered
from gateway.pipeline.consulting.called import Called, Calls, History
from gateway.pipeline.consulting.carrying import Carrier
from gateway.pipeline.consulting.consult import Matters, Ruling, consult
from gateway.pipeline.consulting.masking import Masking
from gateway.pipeline.consulting.metered import Metered
from gateway.pipeline.course import Course
from gateway.pipeline.guard_in import BlockedError, definitions_of
from gateway.pipeline.received import Received
from gateway.pipeline.record import estimated_usage
from gateway.pipeline.services import Services
from gateway.wire.chat_asides import Path, with_asides
from gateway.wire.chat_texts import message_texts, with_message_calls, with_message_texts

_BETWEEN = "\n"
"""As between the text parts of :attr:`gateway.core.conversation.Message.text`."""


class Consulted(Struct, frozen=True):
    """One call's way past its guards."""

    guards: GuardPlan
    course: Course
    journal: Journal
    services: Services

    async def before(self, conversation: Conversation, masks: Mapping[str, str]) -> tuple[Conversation, Mapping[str, str]]:
        """The conversation as those leave it that may rewrite, and the placeholders in it. Raises ``blocked``, ``guard_unavailable``.

        Who masks is asked first: who rewrites sees placeholders, and gives them back as it likes.
        """
        rules = self._going_in(first=True)
        judging = [rule for rule in rules if not rule.rewrites]
        if judging:
            await self._judge_messages(judging, conversation)
        masking = [rule for rule in rules if rule.rewrites and rule.masks]
        if masking:
            made = Masking(conversation, masks, self._definitions(masking))
            conversation = await self._rewritten(masking, conversation, made)
            masks = made.values
        rewriting = [rule for rule in rules if rule.rewrites and not rule.masks]
        if rewriting:
            conversation = await self._rewritten(rewriting, conversation, None)
        return conversation, masks

    async def _rewritten(
        self, rules: Sequence[RemoteRule], conversation: Conversation, masking: Masking | None
    ) -> Conversation:
        parts = [message_texts(message.raw) for message in conversation]
        asides = [[(one.path, one.text) for one in incoming.asides_of(message)] for message in conversation]
        texts = tuple([text for some in parts for text in some] + [text for some in asides for _, text in some])
        own = [message.role for message, some in zip(conversation, parts, strict=True) for _ in some]
        roles = (*own, *[BESIDE] * (len(texts) - len(own)))
        history = self._history(rules, conversation)
        ruling = await self._ruling("pre", rules, texts, roles, history)
        written = ruling.texts if masking is None else masking.over(texts, ruling.marked)
        if history is not None:
            self._settle_calls("pre", history, ruling, _writing if masking is None else masking.write)
        calls: Mapping[int, Mapping[int, str]] = {} if history is None else history.changes()
        if (written is None or written == texts) and not calls:
            return conversation
        given = iter(texts if written is None else written)
        said = [[next(given) for _ in some] for some in parts]
        stood = [{path: next(given) for path, _ in some} for some in asides]
        return tuple(
            [
                structs.replace(
                    message, text=_BETWEEN.join(new), raw=_written(message.raw, new, old, put, calls.get(i)), native=None
                )
                for i, (message, new, old, put) in enumerate(zip(conversation, said, asides, stood, strict=True))
            ]
        )

    async def beside(self, calling: Coroutine[Any, Any, Received], conversation: Conversation) -> Received:
        """Make the call while they judge. What they refuse ends the call; nothing of its answer is out by then.

        Raises what the call raises, ``blocked``, ``guard_unavailable``.
        """
        rules = self._going_in(first=False)
        if not rules:
            return await calling
        call = asyncio.ensure_future(calling)
        judging = asyncio.ensure_future(self._judge_messages(rules, conversation))
        try:
            await asyncio.wait((call, judging), return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                call.result()
            await judging
            return await call
        except BaseException:
            await self._give_up(call)
            raise
        finally:
            judging.cancel()
            await asyncio.gather(judging, return_exceptions=True)

    async def after(self, answer: Received, *, chat: bool) -> Received:
        """The whole answer, once they have judged it, and as they leave it. ``chat``: it is in the chat form.

        Who judges or says where something stands is asked first; who writes other texts sees what is left then. Raises what the
        answer raises, ``blocked``, ``guard_unavailable``.
        """
        post = self.guards.post
        if post is None:
            return answer
        remote = post.remote
        if self.course.request.stream:
            meters = [(rule, rule.remote) for rule in remote if isinstance(rule.remote, TokensGuard)]
            if meters:
                remote = tuple([rule for rule in remote if not rule.remote.meters])
                answer = Metered(answer, meters, self.services.tokens, self._judge_piece)
        if not post.holds and (self.course.request.stream or not remote):
            return answer
        batches = await self._read(answer) if self.course.request.stream else [[answer.whole()]]
        if remote:
            said = Answered(batches, chat=chat)
            called = Called(batches) if any(rule.calls for rule in remote) else None
            if called is not None and called.mixed:
                raise BlockedError("post", Block("tools", "a tool call is of two kinds"), self.journal)
            judging = [rule for rule in remote if rule.masks or not rule.rewrites]
            if judging:
                ruling = await self._ruling("post", judging, said.texts, said.roles, called)
                said.mark(ruling.marked)
                self._settle_calls("post", called, ruling, _writing)
            rewriting = [rule for rule in remote if rule.rewrites and not rule.masks]
            if rewriting:
                ruling = await self._ruling("post", rewriting, said.texts, said.roles, called)
                said.replace(ruling.texts or said.texts)
                self._settle_calls("post", called, ruling, _writing)
            batches = said.batches()
            if called is not None:
                batches = called.over(batches)
        return Settled(answer, batches)

    def _going_in(self, *, first: bool) -> tuple[RemoteRule, ...]:
        pre = self.guards.pre
        return () if pre is None or self.course.judged else tuple([rule for rule in pre.remote if rule.first is first])

    async def _judge_messages(self, rules: Sequence[RemoteRule], conversation: Conversation) -> None:
        beside = incoming.beside(conversation)
        texts = [*[message.text for message in conversation], *beside]
        roles = [*[message.role for message in conversation], *[BESIDE] * len(beside)]
        await self._ruling("pre", rules, tuple(texts), tuple(roles), self._history(rules, conversation))

    async def _judge_piece(self, rule: RemoteRule, text: str) -> None:
        await self._ruling("post", (rule,), (text,), (SPOKEN,))

    def _definitions(self, rules: Sequence[RemoteRule]) -> list[str]:
        """The tools that the model may use, where one of these rules judges them."""
        return definitions_of(self.course.recipe.fields) if any(rule.calls for rule in rules) else []

    def _history(self, rules: Sequence[RemoteRule], conversation: Conversation) -> History | None:
        """The tool calls so far, where one of these rules judges them."""
        return History(conversation, self._definitions(rules)) if any(rule.calls for rule in rules) else None

    def _settle_calls(self, stage: Stage, calls: Calls | None, ruling: Ruling, write: Write[RemoteRule]) -> None:
        """Have tool calls say what was ruled. Raises ``blocked`` where they cannot."""
        if calls is None:
            return
        block = calls.mark(ruling.marked_calls, write)
        if block is None and ruling.calls is not None and ruling.calls_by is not None:
            block = calls.replace(ruling.calls, ruling.calls_by)
        if block is not None:
            raise BlockedError(stage, block, self.journal)

    async def _ruling(
        self,
        stage: Stage,
        rules: Sequence[RemoteRule],
        texts: tuple[str, ...],
        roles: tuple[str, ...],
        calls: Calls | None = None,
    ) -> Ruling:
        journal, guards = self.journal, self.guards
        prompt, inbound = journal.prompt, journal.inbound
        section = guards.pre if stage == "pre" else guards.post
        assert section is not None
        matter = Matter(
            stage, texts, roles, self.course.caller.application, "" if prompt is None else prompt.label, inbound.request_id
        )
        called = structs.replace(matter, texts=calls.texts, roles=calls.roles) if calls is not None and calls.texts else None
        ruling = await consult(
            rules,
            section.budget_ms / 1000,
            Matters(matter, called),
            Carrier(inbound, self.course.caller, self.services),
            journal,
        )
        if ruling.block is not None:
            raise BlockedError(stage, ruling.block, journal)
        return ruling

    async def _read(self, answer: Received) -> list[list[Event]]:
        """A stream to its end."""
        journal, services = self.journal, self.services
        batches: list[list[Event]] = []
        size, began = 0, services.clock()
        while events := await answer.next():
            size += sum([len(event.data) for event in events])
            if size > services.max_answer_bytes:
                raise GatewayError(UPSTREAM_INVALID, f"the provider's stream exceeds {services.max_answer_bytes} bytes")
            batches.append(events)
        journal.upstream += services.clock() - began
        return batches

    async def _give_up(self, call: "asyncio.Future[Received]") -> None:
        """End the call, and note what it has cost: its input at least."""
        call.cancel()
        (ended,) = await asyncio.gather(call, return_exceptions=True)
        if not isinstance(ended, BaseException):
            if not self.course.request.stream:
                ended.whole()
            ended.close()
        journal = self.journal
        if journal.intent is not None and journal.usage is None:
            journal.usage = estimated_usage(journal, estimate(journal.input_chars), estimate(journal.generated))
            journal.usage_source = "estimated"


def _written(
    raw: bytes,
    texts: Sequence[str],
    asides: Sequence[tuple[Path, str]],
    put: Mapping[Path, str],
    calls: Mapping[int, str] | None,
) -> bytes:
    """A message with other texts, of its content and beside it, and other arguments; bytes stay where nothing changes."""
    changed = {path: put[path] for path, old in asides if put[path] != old}
    raw = with_asides(raw, changed) if changed else raw
    raw = with_message_calls(raw, calls) if calls else raw
    return with_message_texts(raw, texts) if texts else raw


def _writing(rule: RemoteRule, found: str, what: str) -> str:
    """What stands in the place of a finding, where it is no placeholder."""
    del found
    return rule.written(what)


class Settled(Received):
    """An answer that was read to its end and passed all guards."""

    def __init__(self, answer: Received, batches: list[list[Event]]) -> None:
        self._answer = answer
        self._batches = batches

    @property
    def native(self) -> bool:
        """As the answer says."""
        return self._answer.native

    @property
    def texts(self) -> list[str]:
        """As the answer says."""
        return self._answer.texts

    def whole(self) -> Event:
        """The one event."""
        return self._batches[0][0]

    async def next(self) -> list[Event]:
        """Everything that came, as it came."""
        return self._batches.pop(0) if self._batches else []

    async def drain(self) -> None:
        """Read what follows the end."""
        await self._answer.drain()

    def close(self) -> None:
        """Let go of where it comes from."""
        self._answer.close()
