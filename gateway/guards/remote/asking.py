"""The words between a guard that asks others and whoever carries its question. Pure: no sockets, no clock."""

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from gateway.core.conversation import Conversation
from gateway.core.verdicts import Stage

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,63}")
"""What others may call what they found: it goes into headers, rows and error messages, so it is a name and no prose."""
UNNAMED = "flagged"
"""What a finding is called whose name is none."""
MAX_KINDS = 32
"""Of one opinion: the rest of a service's findings is counted under the last."""


SPOKEN, THOUGHT, BESIDE = "assistant", "reasoning", "aside"
"""Whose the texts of an answer are: the model's to its caller, its thoughts, and whatever else an answer holds."""
DEFINITION, NAME, ARGUMENTS = "tool_definition", "tool_name", "tool_arguments"
"""What the texts are where tools are judged: definitions as JSON, names, and arguments as JSON (or a custom tool's input)."""


class Matter(Struct, frozen=True):
    """What is judged."""

    stage: Stage
    """``pre`` or ``post``."""
    texts: tuple[str, ...]
    """Of every message, or of an answer: what each choice says, what it thinks, and what else it holds."""
    roles: tuple[str, ...]
    """Whose text each is: the message's role; of an answer ``assistant``, ``reasoning`` and ``aside``; of tools ``tool_definition``,
    ``tool_name`` and ``tool_arguments``."""
    application: str
    """The slug."""
    prompt: str
    """The label of the version (``faq-bot@production:7``); empty for plain calls."""
    request_id: str

    @property
    def spoken(self) -> tuple[str, ...]:
        """Of an answer, what its choices say."""
        return tuple([text for text, role in zip(self.texts, self.roles, strict=True) if role == SPOKEN])


class HttpQuestion(Struct, frozen=True):
    """For an endpoint of the configuration (``[guards.endpoints.NAME]``)."""

    endpoint: str
    path: str
    """Below the endpoint's URL; empty for the URL itself."""
    body: bytes
    signed: bool
    """Whether the body is signed with the endpoint's secret."""


class ModerationQuestion(Struct, frozen=True):
    """For the moderations endpoint of a provider."""

    provider: str
    model: str
    """Empty: the provider's default."""
    body: bytes


class ChatQuestion(Struct, frozen=True):
    """For a model behind our own routes."""

    model: str
    conversation: Conversation
    fields: dict[str, bytes]
    """Body fields as JSON."""


class EmbeddingQuestion(Struct, frozen=True):
    """For an embeddings model behind our own routes: vectors of the texts, and once of the examples."""

    model: str
    texts: tuple[str, ...]
    examples: tuple[str, ...]


class TokenQuestion(Struct, frozen=True):
    """For the counter of tokens, which is in this process and in another thread."""

    model: str
    """Whose tokens; empty: those of the newest table."""
    texts: tuple[str, ...]


Question = HttpQuestion | ModerationQuestion | ChatQuestion | EmbeddingQuestion | TokenQuestion


class Span(Struct, frozen=True, gc=False):
    """Where somebody found something: characters ``start`` to ``end`` (exclusive) of one of the judged texts."""

    text: int
    start: int
    end: int
    what: str
    """The kind, as it may be shown."""


class Opinion(Struct, frozen=True):
    """What somebody found."""

    found: tuple[str, ...] = ()
    """Kinds, one for each finding; empty: nothing."""
    texts: tuple[str, ...] | None = None
    """What is to stand in the place of the judged texts; None: they stay."""
    spans: tuple[Span, ...] | None = None
    """Where it was found, in order and not overlapping; None: nobody said."""


NOTHING_FOUND = Opinion()

Vectors = Sequence[Sequence[float]]


MODEL_MS = 5_000
"""Patience with a model: a small one gives a dozen tokens in about a second."""


class AnswerError(Exception):
    """An answer cannot be read as one; the text says why, and repeats nothing of it."""


@runtime_checkable
class AsksForBytes(Protocol):
    """A :class:`~gateway.guards.rules.Remote` whose answer is a body: JSON of a service, or the text that a model wrote."""

    def question(self, matter: Matter) -> HttpQuestion | ModerationQuestion | ChatQuestion | None:
        """What to ask; None: there is nothing to judge."""
        ...

    def read(self, body: bytes, matter: Matter) -> Opinion:
        """What the answer means. Raises :class:`AnswerError`."""
        ...


@runtime_checkable
class AsksForVectors(Protocol):
    """A :class:`~gateway.guards.rules.Remote` that compares vectors."""

    def question(self, matter: Matter) -> EmbeddingQuestion | None:
        """What to ask; None: there is nothing to judge."""
        ...

    def compare(self, texts: Vectors, examples: Vectors) -> Opinion:
        """What the vectors mean. Raises :class:`AnswerError`."""
        ...


@runtime_checkable
class AsksForCounts(Protocol):
    """A :class:`~gateway.guards.rules.Remote` that counts tokens."""

    def question(self, matter: Matter) -> TokenQuestion | None:
        """What to count; None: there cannot be too many."""
        ...

    def judged(self, counts: Sequence[tuple[int, bool]], matter: Matter) -> Opinion:
        """What the tokens of each text mean; each as their number, and whether that is exact."""
        ...


def label(name: str) -> str:
    """A finding's name as it may be shown."""
    return name if LABEL.fullmatch(name) else UNNAMED
