"""What is told of targets."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from gateway.settings import Route


class KeyState(Struct, frozen=True):
    """The keys of the account that calls go out on, as the answering worker finds them."""

    total: int
    alive: int
    refused: int
    """Left alone for a while, because the provider did not take them."""
    limited: int
    """Resting until the provider's limit has passed."""
    stored: bool
    """Whether they come from the database, and not from the configuration."""


class HereState(Struct, frozen=True):
    """What the answering worker has seen of a target; of one that takes any model, the worst of them."""

    breaker: str
    """``closed``, ``open`` or ``half_open``."""
    in_flight: int
    limit: int | None
    """Calls that may be under way at one time; it adapts. None: none was made."""
    first_byte_ms: float | None
    """The mean of late; None: nothing was seen."""
    first_byte_p95_ms: float | None


class FleetState(Struct, frozen=True):
    """The same from all workers of this host, from the rows that they share."""

    workers: int
    open_breakers: int
    """Open or half open, all workers and models."""
    in_flight: int
    lowest_limit: int | None
    slowest_first_byte_ms: float | None
    """The mean of the slowest worker."""
    most_keys_refused: int
    """Of the provider's account; the worst worker."""
    most_keys_limited: int


class TargetState(Struct, frozen=True):
    """One provider and upstream model."""

    provider: str
    model: str | None
    """None: the model that was asked for."""
    routes: list[str]
    """The names and patterns that lead here, in the order of asking."""
    local: bool
    keys: KeyState
    here: HereState
    fleet: FleetState | None
    """None for a target that only an application's routes name: workers share no row for it."""


Survey = Callable[[Sequence[Route] | None, str | None], list[TargetState]]
"""States of the targets of some routes (None: the installation's), as an application by its id has them (None: the installation)."""
