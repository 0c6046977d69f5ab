"""ChatRequest -> Recipe: which prompt version answers it, and what is asked of the route."""

from collections.abc import Mapping

from msgspec import Raw, Struct, structs

from gateway.core.documents import AnswerCache
from gateway.core.errors import MALFORMED, UNKNOWN_PROMPT, GatewayError
from gateway.core.references import DRAFT, Reference, is_slug, prompt_id_of
from gateway.core.requests import Caller, ChatRequest
from gateway.dialects.naming import SELECTOR, candidate
from gateway.guards.plan import NO_GUARDS, GuardPlan
from gateway.pipeline.release import Release, unsplit
from gateway.pipeline.releases import Releases
from gateway.pipeline.services import Services


class Recipe(Struct, frozen=True, gc=False):
    """How a request will be answered: the release, if a prompt was named, and what is asked of the route."""

    release: Release | None
    model: str
    """The name the route table is asked for."""
    fields: Mapping[str, Raw]
    """Body fields for the provider: stored defaults under the caller's overrides."""
    cache: AnswerCache | None = None
    """What the version lets be recalled; None when that is nothing."""
    guards: GuardPlan = NO_GUARDS
    """What is judged on the way in and on the way out."""


_REMEMBERED = 256
"""Recipes kept with a release; model names come from callers, so the memory is bounded."""


async def resolve(request: ChatRequest, caller: Caller, services: Services) -> Recipe:
    """Find what answers. Raises ``unknown_prompt``, ``malformed``, ``store_unavailable``; ``forbidden`` for what the key may not use.

    A prompt that is named as one and is not the key's to use is ``forbidden`` whether or not it exists.
    """
    recipe = resolve_now(request, caller, services)
    if recipe is not None:
        return recipe
    reference = request.reference
    release = None
    releases, application_id, grant = services.releases, caller.application_id, caller.grant
    if reference is not None:
        release = releases.release_now(application_id, reference) or await _release(releases, application_id, reference)
        if release is None and not (reference is _from_model(request) and _lists(request.model, caller, services)):
            if grant is not None:
                grant.check_prompt(reference.slug, reference.selector)
            raise unknown_prompt(reference)
    elif request.model:
        named = candidate(request.model)
        if named is not None:
            release = releases.release_now(application_id, named) or await _release(releases, application_id, named)
        if release is None:
            await _refuse_mistyped(request.model, caller, services)
    if release is not None:
        release = _of_release(release, request, caller)
    guards = _guards_now(release, caller, releases) or await releases.guards(caller.guardrails, release)
    return _recipe(release, request, caller, services, guards)


def resolve_now(request: ChatRequest, caller: Caller, services: Services) -> Recipe | None:
    """As :func:`resolve` where the release is in memory, or known not to be there, and its guards are compiled.

    None: it has to wait.
    """
    named = request.reference or candidate(request.model)
    if named is None:
        return None
    releases, application_id = services.releases, caller.application_id
    release = releases.release_now(application_id, named)
    if release is not None:
        return _remembered(_of_release(release, request, caller), request, caller, services)
    plain = request.reference is None and request.model == named.slug and prompt_id_of(named.slug) is None
    if not plain or not releases.lacks(application_id, named):
        return None
    guards = _guards_now(None, caller, releases)
    return None if guards is None else _recipe(None, request, caller, services, guards)


def _remembered(release: Release, request: ChatRequest, caller: Caller, services: Services) -> Recipe | None:
    """As :func:`resolve_now` once the release is chosen: what the key and the model name make of it is kept with it."""
    place = (caller.key_id, request.model)
    kept = release.recipes.get(place)
    if kept is not None and kept[0] is caller:
        recipe = kept[1]
        return Recipe(release, recipe.model, release.prompt.merge_fields(request.fields), recipe.cache, recipe.guards)
    guards = _guards_now(release, caller, services.releases)
    if guards is None:
        return None
    recipe = _recipe(release, request, caller, services, guards)
    if len(release.recipes) >= _REMEMBERED:
        release.recipes.clear()
    release.recipes[place] = (caller, structs.replace(recipe, fields={}))
    return recipe


def _of_release(release: Release, request: ChatRequest, caller: Caller) -> Release:
    """The release itself, or the variant of it that is pinned or falls to the request's unit."""
    if caller.grant is not None:
        caller.grant.check_prompt(release.document.slug, release.document.selector)
    pin = None if request.reference is None else request.reference.variant
    if release.split is not None:
        return release.split.choose(request.unit or caller.key_id, pin)
    if pin is not None:
        raise unsplit(release)
    return release


def _guards_now(release: Release | None, caller: Caller, releases: Releases) -> GuardPlan | None:
    return (releases if release is None else release).guards_now(caller.guardrails)


def _recipe(release: Release | None, request: ChatRequest, caller: Caller, services: Services, guards: GuardPlan) -> Recipe:
    grant = caller.grant
    if release is None:
        if request.variables:
            raise GatewayError(MALFORMED, "variables: given, but no prompt is named", param="variables")
        model = request.model or caller.default_model or services.default_model
        if grant is not None:
            grant.check_model(model)
        return Recipe(None, model, request.fields, None, guards)
    asked = "" if _names_prompt(request.model, release) else request.model
    if asked and grant is not None:
        grant.check_model(asked)
    model = release.prompt.merge_model(asked) or caller.default_model or services.default_model
    return Recipe(release, model, release.prompt.merge_fields(request.fields), release.cache, guards)


async def _release(releases: Releases, application_id: str, reference: Reference) -> Release | None:
    """By the slug, else by the prompt's own id."""
    release = await releases.release(application_id, reference)
    if release is None:
        renamed = await releases.named_by_id(application_id, reference)
        if renamed is not None:
            release = releases.release_now(application_id, renamed) or await releases.release(application_id, renamed)
    return release


async def _refuse_mistyped(model: str, caller: Caller, services: Services) -> None:
    """A version or alias that is not there, of a prompt that is, must not pass as the name of a model, past its guards."""
    slug = SELECTOR.split(model, maxsplit=1)[0]
    if slug == model or not is_slug(slug) or _lists(model, caller, services):
        return
    prompt, application_id = Reference(slug), caller.application_id
    if services.releases.release_now(application_id, prompt) or await _release(services.releases, application_id, prompt):
        if caller.grant is not None:
            caller.grant.check_prompt(slug, model[len(slug) :])
        raise GatewayError(
            UNKNOWN_PROMPT, f"model: the prompt {slug} has nothing published under {model[:100]!r}", param="model"
        )


def _lists(model: str, caller: Caller, services: Services) -> bool:
    return (services.routes if caller.routes is None else caller.routes).lists(model)


def unknown_prompt(reference: Reference) -> GatewayError:
    """What a caller is told about a prompt that is not there for it."""
    if reference.alias == DRAFT:
        return GatewayError(UNKNOWN_PROMPT, f"{reference}: drafts are not served; publish the version first", param="prompt")
    return GatewayError(UNKNOWN_PROMPT, f"no published prompt answers to {reference}", param="prompt")


def _from_model(request: ChatRequest) -> Reference | None:
    """The request's reference if the model name alone made it."""
    return request.reference if request.reference == candidate(request.model) and not request.variables else None


def _names_prompt(model: str, release: Release) -> bool:
    document = release.document
    if model == document.slug:
        return True
    named = candidate(model)
    return named is not None and (named.slug == document.slug or prompt_id_of(named.slug) == document.prompt_id)
