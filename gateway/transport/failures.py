"""The failures a transport may report, in one wording for all twins: the public text names the provider, nothing else."""

from gateway.core.errors import (
    DEADLINE,
    DRAINING,
    INTERNAL,
    UPSTREAM_INCOMPLETE,
    UPSTREAM_INVALID,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNREACHABLE,
    GatewayError,
)


def unconnected(failure: GatewayError) -> GatewayError:
    """The same failure, known to have come before there was a connection: what was not sent may be sent to somebody else."""
    failure.unsent = True
    return failure


def unreachable(provider: str, cause: str) -> GatewayError:
    """No connection, or one that died before the answer's first byte."""
    return GatewayError(UPSTREAM_UNREACHABLE, f"Provider {provider!r} cannot be reached.", cause=cause, target=provider)


def incomplete(provider: str, cause: str) -> GatewayError:
    """The connection ended between the answer's first byte and its last."""
    return GatewayError(UPSTREAM_INCOMPLETE, f"Provider {provider!r} broke off its answer.", cause=cause, target=provider)


def invalid(provider: str, cause: str) -> GatewayError:
    """The answer is not HTTP as we accept it."""
    return GatewayError(UPSTREAM_INVALID, f"Provider {provider!r} sent an invalid answer.", cause=cause, target=provider)


def too_large(provider: str, limit: int) -> GatewayError:
    """The body is longer than the caller of ``read`` accepts."""
    return GatewayError(UPSTREAM_INVALID, f"Provider {provider!r} sent an answer of more than {limit} bytes.", target=provider)


def slow(provider: str, what: str, seconds: float) -> GatewayError:
    """One of the target's own timeouts ran out; ``what`` did not happen within ``seconds``."""
    return GatewayError(UPSTREAM_TIMEOUT, f"Provider {provider!r}: {what} within {seconds:g} s.", target=provider)


def late(provider: str) -> GatewayError:
    """The call's own deadline ran out while the provider was being asked."""
    return GatewayError(DEADLINE, "The call's deadline passed before the provider had answered.", target=provider)


def unsendable(provider: str, cause: str) -> GatewayError:
    """The request would not be well-formed HTTP: a fault of our configuration, not of the provider."""
    return GatewayError(INTERNAL, f"The request to provider {provider!r} cannot be sent.", cause=cause, target=provider)


def draining() -> GatewayError:
    """The transport has been closed."""
    return GatewayError(DRAINING, "The gateway is shutting down.")
