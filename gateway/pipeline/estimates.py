"""What a call is expected to use, before anybody is asked: what the limits reserve."""

from msgspec import Raw

from gateway.core.events import Usage
from gateway.core.journal import Journal
from gateway.core.requests import ChatRequest
from gateway.limits.rules import DEFAULT_OUTPUT, Estimate
from gateway.limits.tokens import estimate
from gateway.pipeline.resolve import Recipe
from gateway.pipeline.route import plan_of
from gateway.pipeline.services import Services
from gateway.pricing.table import price

LARGEST_BOUND = 10_000_000
"""Tokens of an answer: some hundred times what any model makes. Who names more must not reserve sums that no counter can hold."""
OUTPUT_BOUNDS = ("max_completion_tokens", "max_tokens")
"""Fields that bound an answer, the one that wins first."""


def estimated(recipe: Recipe, request: ChatRequest, journal: Journal, services: Services, *, priced: bool) -> Estimate:
    """The input by its characters; the output by the caller's bound, else a usual answer's; the price of the dearest target.

    ``priced``: whether the cost matters. Raises ``unknown_model`` then.
    """
    read = estimate(journal.input_chars)
    bound = output_bound(recipe)
    if bound is None:
        known = services.models.find(recipe.model)
        most = None if known is None else known.max_output
        bound = DEFAULT_OUTPUT if most is None else min(DEFAULT_OUTPUT, most)
    made = bound * request.choices
    if not priced:
        return Estimate(read, made)
    input_cost = cost = 0
    for target in plan_of(recipe, request, journal, services).targets:
        whole, _ = price(services.prices, target.provider, target.model, Usage(read, made), estimated=True)
        if whole is not None and whole > cost:
            part, _ = price(services.prices, target.provider, target.model, Usage(read, 0), estimated=True)
            cost, input_cost = whole, part or 0
    return Estimate(read, made, input_cost, cost)


def estimated_pieces(
    recipe: Recipe, request: ChatRequest, pieces: Usage, journal: Journal, services: Services, *, priced: bool
) -> Estimate:
    """As :func:`estimated` for a call that passes through: the input, and what is billed by the piece; no output is foreseen."""
    expected = estimated(recipe, request, journal, services, priced=priced)
    cost = expected.input_cost
    if priced:
        for target in plan_of(recipe, request, journal, services).targets:
            of_pieces, _ = price(services.prices, target.provider, target.model, pieces, estimated=True)
            cost = max(cost, of_pieces or 0)
    return Estimate(expected.input_tokens, 0, cost, cost)


def output_bound(recipe: Recipe) -> int | None:
    """The tokens that one answer may have by the request's own word."""
    found = (whole_number(recipe.fields.get(name)) for name in OUTPUT_BOUNDS)
    return next((bound for bound in found if bound is not None), None)


def whole_number(raw: Raw | None) -> int | None:
    """A count as a request writes it; None for anything else, which is the provider's to refuse."""
    text = b"" if raw is None else bytes(raw)
    return min(int(text), LARGEST_BOUND) if text.isdigit() and len(text) < 10 else None
