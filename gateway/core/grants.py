"""What an API key may do: scopes for routes, allow-lists for prompts and models. Compiled once, when the key is loaded.

A key without restrictions has no grant, which is all that a call by it looks at. A restricted key's checks are a look-up in a set,
and one in a memory of names already matched.

Scopes are named after what the routes do, in the ``resource`` and ``resource:action`` forms of OpenAI's and Langfuse's restricted keys.
A route is known by its door (:attr:`gateway.core.requests.Inbound.door`); a door that is not in :data:`SCOPES` opens to
unrestricted keys only, so that a new route is closed until somebody has said which scope it takes.
"""

import re
from collections.abc import Iterable

from gateway.core.documents import KeyDocument
from gateway.core.errors import FORBIDDEN, GatewayError

EVERYTHING = "*"
"""In any of the three lists: all there is."""
SCOPES: dict[str, str] = {
    "chat": "chat",
    "completions": "chat",
    "messages": "chat",
    "count_tokens": "chat",
    "responses": "chat",
    "execute": "chat",
    "read_response": "responses:read",
    "delete_response": "responses:write",
    "cancel_response": "responses:write",
    "render": "render",
    "explain": "explain",
    "models": "models",
    "embeddings": "embeddings",
    "moderations": "moderations",
    "images": "images",
    "audio": "audio",
    "files": "files",
    "batches": "batches",
}
"""The scope that each door of the data plane takes. ``test`` has none: the admin token opens it."""
SCOPE_NAMES = frozenset(SCOPES.values())

MAX_PATTERNS = 100
"""Of one list; more would be another application."""
MAX_PATTERN = 256
"""Characters: as many as a model name may have."""
_REMEMBERED = 1024
"""Names per list whose match is remembered; they come from callers, so the memory is bounded."""
_SELECTORS = "@:#"
_PROMPT_PATTERN = re.compile(r"[A-Za-z0-9_.*/-]+(?:[@:#][A-Za-z0-9_.*+-]+)?")
_MODEL_PATTERN = re.compile(r"[A-Za-z0-9_.*/:@#+=~,-]+")


class Allowed:
    """An allow-list. ``*`` in a pattern stands for any text, also none, also with slashes.

    Not an expression of ``re``: to compile a long list would hold the event loop for tens of milliseconds at each load of a key.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        given = frozenset(patterns)
        self._exact = frozenset(pattern for pattern in given if "*" not in pattern)
        self._pieces = [pattern.split("*") for pattern in sorted(given - self._exact)]
        self._known: dict[str, bool] = {}

    def __contains__(self, name: str) -> bool:
        """Whether any pattern fits the whole name."""
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[name] = name in self._exact or any(_fits(pieces, name) for pieces in self._pieces)
        return known


def _fits(pieces: list[str], name: str) -> bool:
    """Whether a name begins with the first piece, ends with the last, and has the others between them in their order."""
    first, *between, last = pieces
    at, end = len(first), len(name) - len(last)
    if at > end or not (name.startswith(first) and name.endswith(last)):
        return False
    for piece in between:
        at = name.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


class Grant:
    """The rights of one restricted key. ``public_id`` is what refusals call it."""

    def __init__(
        self,
        public_id: str,
        scopes: Iterable[str] | None = None,
        prompts: Iterable[str] | None = None,
        models: Iterable[str] | None = None,
    ) -> None:
        self._public_id = public_id
        named, references, asked = map(_listed, (scopes, prompts, models))
        self._doors = None if named is None else frozenset(door for door, scope in SCOPES.items() if scope in named)
        whole = [pattern for pattern in references or () if any(mark in pattern for mark in _SELECTORS)]
        self._prompts = None if references is None else (Allowed(references.difference(whole)), Allowed(whole))
        """Those that are of a slug alone, for every selector of it; and those with a selector."""
        self._models = None if asked is None else Allowed(asked)

    @property
    def lists_models(self) -> bool:
        """Whether only some models may be asked for."""
        return self._models is not None

    def enter(self, door: str) -> None:
        """Check the scope of a route. Raises ``forbidden``, naming the scope that is missing."""
        if self._doors is not None and door not in self._doors:
            raise self.refused(f"lacks the scope {SCOPES.get(door, EVERYTHING)!r}")

    def may_prompt(self, slug: str, selector: str) -> bool:
        """Whether a prompt may be used under this selector (``@production``, ``:7``)."""
        if self._prompts is None:
            return True
        slugs, references = self._prompts
        return slug in slugs or f"{slug}{selector}" in references

    def may_model(self, model: str) -> bool:
        """Whether a model or route may be asked for by this name."""
        return self._models is None or model in self._models

    def check_prompt(self, slug: str, selector: str) -> None:
        """Raises ``forbidden`` for a prompt outside the list."""
        if not self.may_prompt(slug, selector):
            raise self.refused(f"may not use the prompt {slug}{selector}", "prompt")

    def check_model(self, model: str) -> None:
        """Raises ``forbidden`` for a model outside the list."""
        if not self.may_model(model):
            named = f"the model {model[:100]!r}" if model else "a model that is not named"
            raise self.refused(f"may not use {named}", "model")

    def refused(self, what: str, param: str | None = None) -> GatewayError:
        """The ``forbidden`` that says which key may not do what."""
        return GatewayError(FORBIDDEN, f"the API key {self._public_id} {what}", param=param)


def grant_of(document: KeyDocument) -> Grant | None:
    """The rights of a key; None when nothing is withheld from it."""
    if document.scopes is None and document.prompts is None and document.models is None:
        return None
    return Grant(document.public_id, document.scopes, document.prompts, document.models)


def _listed(given: Iterable[str] | None) -> frozenset[str] | None:
    listed = None if given is None else frozenset(given)
    return None if listed is None or EVERYTHING in listed else listed


def scopes_fault(scopes: Iterable[str]) -> str | None:
    """What is wrong with a list of scopes; None: nothing."""
    given = list(scopes)
    unknown = sorted(set(given) - SCOPE_NAMES - {EVERYTHING})
    if unknown:
        return f"{unknown[0][:40]!r} is no scope; there are {', '.join([EVERYTHING, *sorted(SCOPE_NAMES)])}"
    return None if given else "give at least one, or null for all"


def prompts_fault(patterns: Iterable[str]) -> str | None:
    """What is wrong with a list of prompts; None: nothing."""
    return _fault(patterns, _PROMPT_PATTERN, "a prompt or pattern, as faq-bot, billing/*, faq-bot@staging or *@production")


def models_fault(patterns: Iterable[str]) -> str | None:
    """What is wrong with a list of models; None: nothing."""
    return _fault(patterns, _MODEL_PATTERN, "the name of a model or route, or a pattern as gpt-4o*")


def _fault(patterns: Iterable[str], form: re.Pattern[str], what: str) -> str | None:
    given = list(patterns)
    if len(given) > MAX_PATTERNS:
        return f"at most {MAX_PATTERNS}"
    for pattern in given:
        if len(pattern) > MAX_PATTERN or form.fullmatch(pattern) is None:
            return f"{pattern[:80]!r} is not {what}"
    return None
