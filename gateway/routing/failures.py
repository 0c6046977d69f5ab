"""What a failed attempt means for the next one, and for the key and the target that it was made with. Pure.

| the provider                        | next                | the key         | the target                  |
|-------------------------------------|---------------------|-----------------|-----------------------------|
| 401, 402                            | next key, target    | out for a time  |                             |
| 403                                 | next key, target    |                 |                             |
| 429                                 | next key, target    | rests           | too much                    |
| 503, 529                            | next target         |                 | failed, too much            |
| other 5xx, 404-like gateways, resets, broken answers | next target |    | failed                      |
| timeout                             | next target         |                 | failed, too much            |
| other 4xx: the caller's own fault   | give up             |                 |                             |
| our own (deadline, spool, shutdown) | give up             |                 |                             |
"""

from enum import Enum

from msgspec import Struct

from gateway.core.errors import (
    UPSTREAM_AUTH,
    UPSTREAM_ERROR,
    UPSTREAM_INCOMPLETE,
    UPSTREAM_INVALID,
    UPSTREAM_OVERLOADED,
    UPSTREAM_RATE_LIMITED,
    UPSTREAM_REJECTED,
    UPSTREAM_TIMEOUT,
    UPSTREAM_UNREACHABLE,
    GatewayError,
)


class Next(Enum):
    """What to try after a failure."""

    KEY = "key"
    """Another key of the same provider, else as ``TARGET``."""
    TARGET = "target"
    """Another target; the same one again after a pause, where the route allows it."""
    NOTHING = "nothing"
    """Give up: it would fail elsewhere too."""


class Verdict(Struct, frozen=True, gc=False):
    """What to do about a failure."""

    next: Next
    dead_key: bool = False
    limited_key: bool = False
    failed: bool = False
    """Counts against the target's breaker."""
    overloaded: bool = False
    """The target had too much to do: its limit falls."""


_DEAD = Verdict(Next.KEY, dead_key=True)
_FORBIDDEN = Verdict(Next.KEY)
_LIMITED = Verdict(Next.KEY, limited_key=True, overloaded=True)
_BUSY = Verdict(Next.TARGET, failed=True, overloaded=True)
_FAILED = Verdict(Next.TARGET, failed=True)
_GIVE_UP = Verdict(Next.NOTHING)
_BY_KIND = {
    UPSTREAM_AUTH: _DEAD,
    UPSTREAM_RATE_LIMITED: _LIMITED,
    UPSTREAM_TIMEOUT: _BUSY,
    UPSTREAM_OVERLOADED: _BUSY,
    UPSTREAM_ERROR: _FAILED,
    UPSTREAM_UNREACHABLE: _FAILED,
    UPSTREAM_INVALID: _FAILED,
    UPSTREAM_INCOMPLETE: _FAILED,
}
_VERDICTS = {kind.name: verdict for kind, verdict in _BY_KIND.items()}


def judge(error: GatewayError) -> Verdict:
    """The verdict on a failed attempt, by kind and by the status that the provider answered with."""
    if error.answered == 403 and error.kind is UPSTREAM_AUTH:
        # A model that the key may not use is no fault of the key: callers name models.
        return _FORBIDDEN
    if error.answered == 402 and error.kind is UPSTREAM_REJECTED:
        return _DEAD
    if error.answered in {503, 529} and error.kind is UPSTREAM_ERROR:
        return _BUSY
    return _VERDICTS.get(error.kind.name, _GIVE_UP)
