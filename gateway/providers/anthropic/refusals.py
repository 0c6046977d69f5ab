"""What cannot be said to Anthropic: one way to refuse a field, by name."""

from gateway.core.errors import MALFORMED, GatewayError


def unfit(name: str, why: str) -> GatewayError:
    """A field of a call that has no form there."""
    return GatewayError(MALFORMED, f"{name}: {why}", param=name)


def unreadable(name: str, error: Exception) -> GatewayError:
    """A field whose JSON is not what the chat form says; the place inside it is in the text."""
    what, found, path = str(error).rpartition(" - at `$")
    return GatewayError(MALFORMED, f"{name}{path.rstrip('`') if found else ''}: {what if found else error}", param=name)
