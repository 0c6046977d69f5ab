"""Guardrail configurations, compiled once: what to ask at each stage, cheap guards first.

Two shapes of what comes out: prohibited terms and required elements alone are scanned in any dialect, by the quickest way there is
(:mod:`gateway.guards.window`); with validators the answer goes through :mod:`gateway.guards.outgoing`.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, structs

from gateway.core.conversation import NEAR, Conversation
from gateway.core.documents import Guardrails, PostValidation, PreValidation
from gateway.core.verdicts import ALLOW, Block, Note, OutputVerdict, Verdict
from gateway.guards.catalogue import GuardType
from gateway.guards.compiling import rules_of
from gateway.guards.fold import fold
from gateway.guards.incoming import Incoming, beside
from gateway.guards.judge import judge, prohibited_rule, required_rule
from gateway.guards.media import MEDIA_BLOCK, holds_media, media_note
from gateway.guards.outgoing import Outgoing
from gateway.guards.required import RequiredSet
from gateway.guards.rules import RemoteRule, Rule, Tally
from gateway.guards.shipped import CATALOGUE
from gateway.guards.stream import Rules
from gateway.guards.tails import Tails
from gateway.guards.terms import TermSet
from gateway.guards.window import OutputScan

BUDGET_MS = 5_000
"""How long the guards of a stage that ask others may take together, unless their configuration says so."""
LONG = 16_384
"""Bytes that guards judge at once. Prose takes them some 50 us per KB, the worst that is known (nothing but card numbers) 1 ms, and a
turn of the event loop may take ten or twenty."""
LONG_LISTED = 1 << 20
"""The same where there are lists only: 1 us per KB, the worst that is known (ends of 10,000 terms) 13 us."""
_BETWEEN = "\0"
"""Joins messages for one scan: no term may contain it, so nothing matches across messages."""


class InputGuard(Struct, frozen=True):
    """Judges a rendered conversation, every message of it, before any upstream call."""

    terms: TermSet | None = None
    required: RequiredSet | None = None
    rules: tuple[Rule, ...] = ()
    """On texts."""
    tools: tuple[Rule, ...] = ()
    """On tool definitions, and tool calls of the history."""
    remote: tuple[RemoteRule, ...] = ()
    """Asked by whoever can wait; :meth:`check` leaves them aside."""
    budget_ms: int = BUDGET_MS
    media: bool = True
    """Whether pictures, sound and files may go in, unread."""
    near: bool = False
    """Whether :attr:`gateway.core.conversation.Message.near` is all there is to search: see :func:`knowing`."""

    @property
    def quick(self) -> bool:
        """Whether the quick scan is all there is to do."""
        return not self.rules and not self.tools and self.media

    def check(self, conversation: Conversation, definitions: Sequence[str] = (), notes: list[Note] | None = None) -> Verdict:
        """One pass over all texts: terms first, then the rules. Each required element must occur in one of the messages.

        ``definitions`` are the tool definitions, as JSON texts. What was found is added to ``notes``.
        """
        notes = [] if notes is None else notes
        if self.terms is not None or self.required is not None:
            verdict: Verdict = ALLOW
            if not self.near or not self._is_clean(conversation):
                verdict = judge(_BETWEEN.join([message.text for message in conversation]), self.terms, self.required)
            if verdict is ALLOW and self.terms is not None:
                texts = beside(conversation)
                verdict = judge(_BETWEEN.join(texts), self.terms, None) if texts else ALLOW
            if isinstance(verdict, Block):
                Tally("pre", notes).block(verdict)
                return verdict
        if not self.media and holds_media(conversation):
            notes.append(media_note("pre"))
            return MEDIA_BLOCK
        if not self.rules and not self.tools:
            return ALLOW
        return Incoming(conversation, definitions, Tally("pre", notes), Tally("tools", notes)).judge(self.rules, self.tools)

    def _is_clean(self, conversation: Conversation) -> bool:
        """Whether no term can be in the texts, as far as what is near the values tells."""
        assert self.terms is not None
        near = _BETWEEN.join([message.text if message.near is None else message.near for message in conversation])
        return not self.terms.match(near if near.isascii() else fold(near))


class OutputGuard(Struct, frozen=True):
    """Makes the judge of one answer."""

    terms: TermSet | None = None
    tails: Tails | None = None
    required: RequiredSet | None = None
    """The three of the quick scan; None where there are :attr:`texts`, which then hold their rules too."""
    texts: Rules | None = None
    """On texts; None: the quick scan is all there is to do."""
    tools: tuple[Rule, ...] = ()
    """On tool calls."""
    remote: tuple[RemoteRule, ...] = ()
    """Asked by whoever can wait; nothing here knows of them."""
    budget_ms: int = BUDGET_MS
    media: bool = True
    """Whether pictures, sound and files may come out, unread."""

    @property
    def quick(self) -> bool:
        """Whether the quick scan is all there is to do."""
        return self.texts is None and not self.tools and self.media

    @property
    def busy(self) -> bool:
        """Whether anything is judged here: not where all there is are guards that ask others."""
        return self.terms is not None or self.required is not None or not self.quick

    @property
    def holds(self) -> bool:
        """Whether an answer is read to its end before any of it is shown: others judge it, or the model may be asked again."""
        rules = (*(self.texts.stream + self.texts.whole if self.texts is not None else ()), *self.tools)
        return any(not rule.remote.meters for rule in self.remote) or any(
            rule.action == "reask" and rule.mode == "enforce" for rule in rules
        )

    def scan(self) -> OutputScan:
        """For a stream that needs the quick scan only: feed it as events come."""
        return OutputScan(self.terms, self.tails, self.required)

    def check(self, texts: Iterable[tuple[int, str]]) -> OutputVerdict:
        """Of a whole answer's texts, as (choice, text) pairs: the verdict on the first choice that is blocked. Tools left aside."""
        if self.quick:
            for choice, text in texts:
                verdict = judge(text, self.terms, self.required, choice)
                if verdict is not ALLOW:
                    return verdict
            return ALLOW
        outgoing = Outgoing(self.texts or Rules(), (), {}, [])
        for choice, text in texts:
            verdict = outgoing.text(choice, "content", text)
            if verdict is not ALLOW:
                return verdict
        return outgoing.end()


class GuardPlan(Struct, frozen=True):
    """What to run at each stage; None where there is nothing to run, so that the path can skip it."""

    pre: InputGuard | None = None
    post: OutputGuard | None = None
    needs_chat: bool = False
    """Whether the exchange must be held in the chat form, because messages or answers are rewritten or tools are judged."""
    max_reasks: int = 1
    types: Mapping[str, str] = {}
    """The types of guards that are not called like them, by what they are called."""
    consults: bool = False
    """Whether somebody outside the process is asked, or an answer is read to its end before any of it is shown."""
    quick: bool = True
    """Whether the quick scans are all there is to do: nothing is rewritten, nobody is asked, no guard has a name of its own."""
    near: bool = False
    """Whether the messages of a prompt are to be rendered with :attr:`gateway.core.conversation.Message.near`."""
    long: int = LONG_LISTED
    """Bytes of a request or an answer from which judging it takes so long that others have to be served meanwhile."""


NO_GUARDS = GuardPlan()


def compile_guards(guardrails: Guardrails, catalogue: Mapping[str, GuardType] = CATALOGUE) -> GuardPlan:
    """Compile a guardrail configuration. Raises ``malformed`` naming the term, list or validator at fault."""
    return combined(None, guardrails, catalogue)


def combined(
    application: Guardrails | None, version: Guardrails | None, catalogue: Mapping[str, GuardType] = CATALOGUE
) -> GuardPlan:
    """One plan from an application's guardrails and a version's: the application's come first, and neither switches the other's off.

    Raises ``malformed``; fields of the application's are named ``application.guardrails...``.
    """
    given = [(application, "application.guardrails"), (version, "guardrails")]
    configs = [(config, param) for config, param in given if config is not None]
    pre = _pre([_Section.of(c.pre_validation, f"{param}.pre_validation", catalogue) for c, param in configs])
    post = _post([_Section.of(c.post_validation, f"{param}.post_validation", catalogue) for c, param in configs])
    if pre is None and post is None:
        return NO_GUARDS
    consults = (pre is not None and bool(pre.remote)) or (post is not None and (post.holds or bool(post.remote)))
    sections = [section for config, _ in configs for section in (config.pre_validation, config.post_validation)]
    types = {validator.name: validator.type for section in sections for validator in section.validators if validator.name}
    needs_chat = _needs_chat(pre, post)
    quick = not (types or consults or needs_chat) and (post is None or post.quick)
    listed = (pre is None or pre.quick) and (post is None or post.quick)
    reasks, long = max(config.max_reasks for config, _ in configs), LONG_LISTED if listed else LONG
    return GuardPlan(pre, post, needs_chat, reasks, types, consults, quick, long=long)


def knowing(plan: GuardPlan, common: Sequence[str]) -> GuardPlan:
    """The same for the calls of one prompt, whose texts that are in every call, ``common``, are searched here once for all.

    In a call a term is then in a value, or at most its own length away. Where the prompt itself may have one, nothing is changed.
    """
    pre = plan.pre
    if pre is None or pre.terms is None or pre.required is not None or pre.terms.longest > NEAR:
        return plan
    if pre.terms.match(fold(_BETWEEN.join(common))):
        return plan
    return structs.replace(plan, pre=structs.replace(pre, near=True), near=True)


class _Section(Struct):
    """One section, compiled; empty where it is switched off."""

    terms: TermSet | None = None
    required: RequiredSet | None = None
    text: list[Rule] = []
    whole: list[Rule] = []
    tools: list[Rule] = []
    remote: list[RemoteRule] = []
    budget_ms: int | None = None
    media: bool = True

    @classmethod
    def of(cls, stage: PreValidation | PostValidation, param: str, catalogue: Mapping[str, GuardType]) -> "_Section":
        # A disabled section is compiled too, so that switching it on cannot fail.
        terms = TermSet(stage.prohibited_terms, f"{param}.prohibited_terms") if stage.prohibited_terms else None
        required = RequiredSet(stage.required_elements, f"{param}.required_elements") if stage.required_elements else None
        ruled = rules_of(stage, param, catalogue)
        if not stage.enabled:
            return cls()
        return cls(
            terms, required, ruled.text, ruled.whole, ruled.tools, ruled.remote, stage.budget_ms, stage.on_media == "open"
        )

    def as_rules(self) -> "_Section":
        """The same, its terms and required elements as rules before the others."""
        text = [prohibited_rule(self.terms), *self.text] if self.terms is not None else self.text
        whole = [*self.whole, required_rule(self.required)] if self.required is not None else self.whole
        return _Section(None, None, text, whole, self.tools, self.remote, self.budget_ms, self.media)


def _budget(sections: list[_Section]) -> int:
    return max([section.budget_ms for section in sections if section.budget_ms is not None], default=BUDGET_MS)


def _pre(sections: list[_Section]) -> InputGuard | None:
    # The quick scan is for one list of each kind; of a second one its elements are rules.
    quick = next((section for section in sections if section.terms is not None or section.required is not None), _Section())
    ruled = [section if section is quick else section.as_rules() for section in sections]
    guard = InputGuard(
        quick.terms,
        quick.required,
        tuple([rule for section in ruled for rule in (*section.text, *section.whole)]),
        tuple([rule for section in ruled for rule in section.tools]),
        tuple([rule for section in ruled for rule in section.remote]),
        _budget(sections),
        all(section.media for section in sections),
    )
    busy = (
        guard.terms is not None or guard.required is not None or guard.rules or guard.tools or guard.remote or not guard.media
    )
    return guard if busy else None


def _post(sections: list[_Section]) -> OutputGuard | None:
    tools = tuple([rule for section in sections for rule in section.tools])
    remote = tuple([rule for section in sections for rule in section.remote])
    listed = [section for section in sections if section.terms is not None or section.required is not None]
    media = all(section.media for section in sections)
    if media and not tools and len(listed) < 2 and not any(section.text or section.whole for section in sections):
        if not listed and not remote:
            return None
        quick = listed[0] if listed else _Section()
        tails = None if quick.terms is None else Tails(quick.terms)
        return OutputGuard(quick.terms, tails, quick.required, None, (), remote, _budget(sections))
    ruled = [section.as_rules() for section in sections]
    text = [rule for section in ruled for rule in section.text]
    whole = [rule for section in ruled for rule in section.whole]
    texts = Rules(
        tuple([rule for rule in text if not rule.watches]),
        tuple([rule for rule in whole if not rule.watches]),
        tuple([rule for rule in (*text, *whole) if rule.watches]),
    )
    return OutputGuard(None, None, None, texts, tools, remote, _budget(sections), media)


def _needs_chat(pre: InputGuard | None, post: OutputGuard | None) -> bool:
    if any(not guard.media for guard in (pre, post) if guard is not None):
        return True
    if any(rule.calls for guard in (pre, post) if guard is not None for rule in guard.remote):
        return True
    if pre is not None and (pre.tools or any(rule.rewrites for rule in (*pre.rules, *pre.remote))):
        return True
    if post is None:
        return False
    rewrites = (post.texts is not None and post.texts.rewrites) or any(rule.rewrites for rule in post.remote)
    return bool(post.tools) or rewrites
