"""Caller -> Permit: a reservation against the limits of the key."""

from collections.abc import Coroutine

from gateway.core.requests import Caller
from gateway.pipeline.permits import Permit
from gateway.pipeline.services import Services


def admit(caller: Caller, services: Services) -> Coroutine[None, None, Permit]:
    """Reserve one request; to be awaited. Raises ``rate_limited``, saying whose limit and when it resets."""
    return services.permits.take(caller)
