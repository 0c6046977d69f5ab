"""The judging and rewriting of a conversation on its way in."""

from collections.abc import Sequence

from msgspec import Struct, structs

from gateway.core.conversation import Conversation, Message
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.verdicts import ALLOW, Block, Rewritten, Verdict
from gateway.guards.detector import joint
from gateway.guards.edits import Wanted, edits_of, rewritten, rewritten_parts
from gateway.guards.masks import Masks
from gateway.guards.rules import Rule, Tally
from gateway.guards.tools import complete_call, judge_call, said_simply
from gateway.wire.chat_asides import Path, message_asides, native_asides, with_asides
from gateway.wire.chat_texts import Call, message_calls, message_texts, with_message_calls, with_message_texts
from gateway.wire.openai import DECODE_ERRORS

_BETWEEN = "\n"
"""What stands between the text parts of a message where they are judged, as in :attr:`Message.text`."""


class Incoming:
    """One conversation. ``definitions`` are the tool definitions, as JSON texts; they are judged, never rewritten."""

    def __init__(self, conversation: Conversation, definitions: Sequence[str], text: Tally, tools: Tally) -> None:
        self._conversation = conversation
        self._definitions = definitions
        self._text = text
        self._tools = tools
        self._masks: Masks | None = None

    def judge(self, text: Sequence[Rule], tools: Sequence[Rule]) -> Verdict:
        """Rules come in the order in which they are asked; the first that blocks ends it."""
        messages = list(self._conversation)
        blocked = self._judge_texts(messages, text) or self._judge_tools(messages, tools)
        if blocked is not None:
            return blocked
        if all(new is old for new, old in zip(messages, self._conversation, strict=True)):
            return ALLOW
        # Not even those that stayed as they are may go out in their caller's dialect: one item there can be several messages here.
        conversation = tuple([structs.replace(message, native=None) for message in messages])
        return Rewritten(conversation, {} if self._masks is None else self._masks.values)

    def _judge_texts(self, messages: list[Message], rules: Sequence[Rule]) -> Block | None:
        rewrites = any(rule.rewrites for rule in rules)
        parts = [message_texts(message.raw) if rewrites else [message.text] for message in messages]
        texts = [_BETWEEN.join(some) for some in parts]
        wanted: list[list[Wanted[Rule]]] = [[] for _ in texts]
        beside = [asides_of(message) for message in messages]
        known = "\0".join(texts)
        native = [] if rewrites else [text for m in messages if m.native for text in _native(m.native, known)]
        for order, rule in enumerate(rules):
            together = joint(rule.detector)
            if together is not None:
                missed = together.missed(texts)
                if missed is not None:
                    self._text.add(rule, missed)
                    if rule.blocks:
                        return rule.block("\0".join(texts), missed)
                continue
            for text, places in zip(texts, wanted, strict=True):
                for finding in rule.detector.find(text) if text else ():
                    self._text.add(rule, finding.what)
                    if rule.blocks:
                        return rule.block(text[finding.start : finding.end], finding.what)
                    if rule.rewrites:
                        places.append((finding.start, order, finding.end, rule, finding.what))
            blocked = self._judge_beside(beside, native, rule, order)
            if blocked is not None:
                return blocked
        for i, some in enumerate(beside):
            put = {one.path: rewritten(one.text, edits_of(one.text, one.wanted, self._write)) for one in some if one.wanted}
            if put:
                messages[i] = structs.replace(messages[i], raw=with_asides(messages[i].raw, put))
        for i, places in enumerate(wanted):
            if places:
                edited = rewritten_parts(parts[i], edits_of(texts[i], places, self._write), len(_BETWEEN))
                raw = with_message_texts(messages[i].raw, edited)
                messages[i] = structs.replace(messages[i], text=_BETWEEN.join(edited), raw=raw, near=None)
        return None

    def _judge_beside(self, beside: "list[list[Aside]]", native: Sequence[str], rule: Rule, order: int) -> Block | None:
        """The texts beside those of the messages, by one rule."""
        for one in (*[one for some in beside for one in some], *[Aside((), text) for text in native]):
            for finding in rule.detector.find(one.text):
                self._text.add(rule, finding.what)
                if rule.blocks:
                    return rule.block(one.text[finding.start : finding.end], finding.what)
                if rule.rewrites:
                    one.wanted.append((finding.start, order, finding.end, rule, finding.what))
        return None

    def _judge_tools(self, messages: list[Message], rules: Sequence[Rule]) -> Block | None:
        if not rules:
            return None
        for definition, _ in map(said_simply, self._definitions):
            for rule in rules:
                for finding in rule.detector.find(definition):
                    self._tools.add(rule, finding.what)
                    if rule.blocks or rule.rewrites:
                        return rule.block(definition[finding.start : finding.end], finding.what)
        for i, message in enumerate(messages):
            if message.role != "assistant":
                continue
            put: dict[int, str] = {}
            for place, call in calls_of(message):
                complete = complete_call(call)
                arguments = judge_call(complete, rules, self._tools, self._write)
                if isinstance(arguments, Block):
                    return arguments
                if arguments != complete.arguments:
                    put[place] = arguments
            if put:
                messages[i] = structs.replace(message, raw=with_message_calls(message.raw, put))
        return None

    def _write(self, rule: Rule, text: str, what: str) -> str:
        if rule.action != "mask":
            return rule.written(text, what)
        if self._masks is None:
            raws = [message.raw.decode(errors="replace") for message in self._conversation]
            self._masks = Masks([*raws, *[message.text for message in self._conversation], *self._definitions])
        return self._masks.place(what, text)


class Aside(Struct):
    """A text of a message beside its content, and what is to be written over in it."""

    path: Path
    text: str
    wanted: list[Wanted[Rule]] = []


def asides_of(message: Message) -> list[Aside]:
    """The texts of a message beside its content. Raises ``malformed``."""
    if message.is_bare:
        return []
    try:
        return [Aside(path, text) for path, text in message_asides(message.raw)]
    except DECODE_ERRORS as error:
        raise GatewayError(MALFORMED, f"messages: a message cannot be judged: {error}", param="messages") from None


def _native(native: bytes, known: str) -> list[str]:
    try:
        return native_asides(native, known)
    except DECODE_ERRORS as error:
        raise GatewayError(MALFORMED, f"messages: a message cannot be judged: {error}", param="messages") from None


def beside(conversation: Conversation) -> list[str]:
    """All texts of messages that are not in :attr:`Message.text`. Raises ``malformed``."""
    more = [message for message in conversation if not message.ours and (message.native or not message.is_bare)]
    if not more:
        return []
    found = [one.text for message in more for one in asides_of(message)]
    natives = [message.native for message in more if message.native]
    if natives:
        known = "\0".join([message.text for message in conversation])
        found += [text for native in natives for text in _native(native, known)]
    return found


def calls_of(message: Message) -> list[tuple[int, Call]]:
    """The tool calls of an assistant message, by their place in it. Raises ``malformed``."""
    try:
        return message_calls(message.raw)
    except DECODE_ERRORS as error:
        raise GatewayError(
            MALFORMED, f"messages: the tool calls of an assistant message cannot be judged: {error}", param="messages"
        ) from None
