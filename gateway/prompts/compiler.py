"""A prompt version, compiled: everything that can be decided or checked before a request comes, is.

``compile_prompt`` may take milliseconds and runs when a version is published or loaded; ``CompiledPrompt.render`` takes
microseconds and runs per request. Each message is rendered by itself, so no value can add a message or change a role.
"""

from collections.abc import Mapping
from typing import Any, Literal, NoReturn

from msgspec import Raw, Struct

from gateway.core.conversation import Conversation, Message
from gateway.core.documents import MessageTemplate, Placeholder, VersionContent
from gateway.core.errors import MALFORMED, GatewayError
from gateway.prompts.contract import Contract
from gateway.prompts.jinja import JinjaSet
from gateway.prompts.merge import SYSTEM_ROLES, Params, encode_message, has_system, refuse_system, split_system
from gateway.prompts.simple import SimpleText
from gateway.prompts.stored import StoredText, fixed_message
from gateway.prompts.values import MAX_OUTPUT, missing, too_long
from gateway.prompts.vet import vet

MAX_TEMPLATE = 64 << 10
"""Characters of one message: four times the longest system prompt we know of."""

MAX_TEMPLATES = 256 << 10
"""Characters of all messages of a version."""

MAX_MESSAGES = 200
"""Stored messages of a version: long few-shot prompts have fifty."""


class _Step(Struct, frozen=True):
    """One stored item, ready to become a message; exactly one way of making it is set."""

    role: str = ""
    fixed: Message | None = None
    """A message without variables, encoded once."""
    text: StoredText | None = None
    jinja: int | None = None
    """Index of a template in the engine."""
    callers: Literal["", "messages", "system"] = ""
    """The place of the caller's messages, or of the system messages that replace ours."""


class CompiledPrompt:
    """What the data plane holds for one version. Immutable to its users; share it within one event loop."""

    __slots__ = (
        "_contract",
        "_engine",
        "_needed",
        "_needed_by",
        "_own_system",
        "_params",
        "_policy",
        "_replaced",
        "_steps",
        "common",
    )

    def __init__(self, content: VersionContent) -> None:
        _check_shape(content)
        self._contract = Contract(content.variables)
        self._params = Params(content)
        self._policy = content.system_policy
        self._engine: JinjaSet | None = None
        self.common: list[str] = []
        """The texts that are in every call, but for those that are left out of :attr:`gateway.core.conversation.Message.near`."""
        self._needed_by: dict[str, int] = {}
        self._steps = [self._step(i, item, content) for i, item in enumerate(content.messages)]
        if not any(step.callers for step in self._steps):
            self._steps.append(_Step(callers="messages"))
        self._needed = frozenset(self._needed_by)
        self._own_system = any(step.role in SYSTEM_ROLES for step in self._steps)
        self._replaced = _without_system(self._steps)

    def _step(self, i: int, item: MessageTemplate | Placeholder, content: VersionContent) -> _Step:
        if isinstance(item, Placeholder):
            return _Step(callers="messages")
        try:
            vetted = None if content.format == "simple" else vet(item.content)
            if vetted is None or vetted.plain:
                text = SimpleText(item.content, i, content.undefined)
                if text.names:
                    self.common += text.parts[::2]
                    return _Step(item.role, text=StoredText(item.role, text))
                self.common.append(item.content)
                return _Step(item.role, fixed=fixed_message(item.role, item.content))
            if self._engine is None:
                self._engine = JinjaSet(content.undefined)
            names = self._engine.add(i, vetted)
        except ValueError as error:
            raise GatewayError(MALFORMED, f"messages[{i}].content: {error}", param=f"messages[{i}].content") from None
        if content.undefined == "strict":
            for name in sorted(names - self._contract.optional):
                self._needed_by.setdefault(name, i)
        return _Step(item.role, jinja=i)

    def render(self, variables: dict[str, Any], request_messages: Conversation, *, near: bool = False) -> Conversation:
        """The conversation to send: the stored messages rendered, the caller's in their place, byte for byte.

        ``near``: each with :attr:`gateway.core.conversation.Message.near`, where that is known.
        Raises ``missing_variable``, ``invalid_variable``, ``template_failed``; ``malformed`` for a system message of the
        caller's that the version does not allow.
        """
        values = self._contract.check(variables)
        if self._needed and not self._needed <= values.keys():
            self._miss(values)
        steps = self._steps
        system: Conversation = ()
        if self._own_system and has_system(request_messages):
            if self._policy == "reject":
                raise refuse_system()
            if self._policy == "replace":
                system, request_messages = split_system(request_messages)
                steps = self._replaced
        seen = self._engine.begin(values) if self._engine is not None else values
        out: list[Message] = []
        length = 0
        for step in steps:
            if step.text is not None:
                message = step.text.fill(values, near=near)
            elif step.jinja is not None:
                message = encode_message(step.role, self._run(step, seen))
            else:
                if step.fixed is not None:
                    out.append(step.fixed)
                else:
                    out += request_messages if step.callers == "messages" else system
                continue
            length += len(message.text)
            if length > MAX_OUTPUT:
                raise too_long()
            out.append(message)
        return tuple(out)

    def _run(self, step: _Step, seen: dict[str, Any]) -> str:
        assert self._engine is not None
        assert step.jinja is not None
        return self._engine.render(step.jinja, seen)

    def _miss(self, values: dict[str, Any]) -> NoReturn:
        name, message = min(
            ((name, i) for name, i in self._needed_by.items() if name not in values), key=lambda pair: (pair[1], pair[0])
        )
        raise missing(name, message)

    def merge_fields(self, fields: Mapping[str, Raw]) -> Mapping[str, Raw]:
        """The body fields to send: stored parameters under the request's own. Not to be changed: other requests share them.

        Raises ``malformed`` naming a field that the version fixes.
        """
        return self._params.merge(fields)

    def merge_model(self, asked: str) -> str:
        """The model or route to use when the request asks for ``asked``; empty when neither names one.

        Raises ``malformed`` when the version fixes another one.
        """
        return self._params.model(asked)


def compile_prompt(content: VersionContent) -> CompiledPrompt:
    """Compile a version. Raises ``malformed`` naming the part at fault (``messages[1].content``, ``variables``, ``params.n``)."""
    return CompiledPrompt(content)


def _check_shape(content: VersionContent) -> None:
    messages = content.messages
    templates = [(i, len(m.content)) for i, m in enumerate(messages) if isinstance(m, MessageTemplate)]
    if not messages or len(messages) > MAX_MESSAGES:
        raise GatewayError(MALFORMED, f"messages: a version has 1 to {MAX_MESSAGES} messages", param="messages")
    if len(messages) - len(templates) > 1:
        raise GatewayError(MALFORMED, "messages: more than one placeholder", param="messages")
    for i, length in templates:
        if length > MAX_TEMPLATE:
            raise GatewayError(
                MALFORMED,
                f"messages[{i}].content has {length} characters; at most {MAX_TEMPLATE} are possible",
                param=f"messages[{i}].content",
            )
    if sum(length for _, length in templates) > MAX_TEMPLATES:
        raise GatewayError(MALFORMED, f"messages: more than {MAX_TEMPLATES} characters in all", param="messages")


def _without_system(steps: list[_Step]) -> list[_Step]:
    """The steps with the caller's system messages in the place of the first of ours."""
    first = next((i for i, step in enumerate(steps) if step.role in SYSTEM_ROLES), 0)
    rest = [step for step in steps if step.role not in SYSTEM_ROLES]
    return [*rest[:first], _Step(callers="system"), *rest[first:]]
