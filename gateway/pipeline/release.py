"""A release: what a document of the registry becomes before the first request uses it, and which variant of it a request gets."""

from typing import TYPE_CHECKING

from msgspec import Struct, structs

from gateway.core.documents import AnswerCache, ReleaseDocument, Variant, decode_guardrails
from gateway.core.documents import Split as SplitDocument
from gateway.core.errors import MALFORMED, GatewayError
from gateway.core.journal import PromptFacts
from gateway.core.requests import Caller
from gateway.experiments.assignment import Assignment
from gateway.guards.plan import GuardPlan, combined, compile_guards, knowing
from gateway.prompts.compiler import CompiledPrompt, compile_prompt

if TYPE_CHECKING:
    from gateway.pipeline.resolve import Recipe

PIN = "x-prompt-variant"
"""The header by which a caller pins a variant."""


_JOINT = 2
"""Guardrails of its application that a release is held with: those of now, and those of before while keys learn of a change."""


class Release(Struct, frozen=True):
    """A release document, compiled: everything a call needs, immutable."""

    document: ReleaseDocument
    prompt: CompiledPrompt
    guards: GuardPlan
    facts: PromptFacts
    cache: AnswerCache | None = None
    """What may be recalled; None when that is nothing."""
    split: "Split | None" = None
    """Not None: the alias is split, and one of the variants in here answers instead of this release itself."""
    _joint: dict[bytes, GuardPlan] = {}
    recipes: "dict[tuple[str, str], tuple[Caller, Recipe]]" = {}
    """What :mod:`gateway.pipeline.resolve` has made of it, by key and model name, but for a request's own fields."""

    def guards_now(self, application: bytes) -> GuardPlan | None:
        """Its guards after those of its application (:attr:`gateway.core.requests.Caller.guardrails`); None: not compiled yet."""
        return self._joint.get(application) if application else self.guards

    def join_guards(self, application: bytes) -> GuardPlan:
        """Compile the same, once. May take half a second, so not on the loop. Raises ``malformed``."""
        found = knowing(combined(decode_guardrails(application), self.document.content.guardrails), self.prompt.common)
        if len(self._joint) >= _JOINT:
            self._joint.clear()
        self._joint[application] = found
        return found


class Split(Struct, frozen=True):
    """The variants of an alias, each a whole release, and who gets which."""

    assignment: Assignment
    releases: tuple[Release, ...]

    def choose(self, unit: str, pin: str | None) -> Release:
        """The pinned variant, else the unit's. Raises ``malformed`` naming the variants there are."""
        if pin is None:
            return self.releases[self.assignment.arm(unit)]
        for release in self.releases:
            if release.facts.variant == pin:
                return release
        known = ", ".join(str(release.facts.variant) for release in self.releases)
        name = f"{self.releases[0].facts.slug}@{self.releases[0].facts.alias}"
        raise GatewayError(MALFORMED, f"{PIN}: {name} has no variant {pin[:80]!r}; it has {known}", param=PIN)


def unsplit(release: Release) -> GatewayError:
    """What the caller of a variant is told about an alias that has none."""
    return GatewayError(MALFORMED, f"{PIN}: {release.facts.label} is not split into variants", param=PIN)


def compile_release(document: ReleaseDocument) -> Release:
    """Compile a document, with every variant. Raises ``malformed`` where the content is not servable."""
    if document.split is not None:
        return _compile_split(document, document.split)
    return _compile(document, None)


def _compile(document: ReleaseDocument, variant: str | None) -> Release:
    selector = document.selector
    facts = PromptFacts(
        prompt_id=document.prompt_id,
        slug=document.slug,
        version=document.version,
        alias=selector[1:] if selector.startswith("@") else None,
        content_hash=document.content_hash,
        generation=document.changed,
        variant=variant,
    )
    content = document.content
    cache = content.cache if content.cache.ttl_seconds or content.cache.coalesce else None
    prompt = compile_prompt(content)
    return Release(document, prompt, knowing(compile_guards(content.guardrails), prompt.common), facts, cache)


def _compile_split(document: ReleaseDocument, split: SplitDocument) -> Release:
    assignment = Assignment(split.salt, [variant.buckets for variant in split.variants])
    releases = tuple(_compile(_alone(document, variant), variant.name) for variant in split.variants)
    return structs.replace(releases[0], document=document, split=Split(assignment, releases))


def _alone(document: ReleaseDocument, variant: Variant) -> ReleaseDocument:
    """The document as if the alias pointed at this variant."""
    return structs.replace(
        document,
        version=variant.version,
        content=variant.content,
        content_hash=variant.content_hash,
        semver=variant.semver,
        split=None,
    )
