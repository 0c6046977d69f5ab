"""Fuzz targets: functions of bytes in which nothing but a ``GatewayError`` may be raised, and that hold their own laws.

Each is run three ways: over its seeds and their mutations by :mod:`tests.fuzz.test_targets` in every test run, and for as long as one
likes by the coverage-guided fuzzer (``make fuzz TARGET=... SECONDS=...``, :mod:`tests.fuzz.run`). Any other exception is a finding.
"""

import functools
from collections.abc import Callable

from tests.fuzz import door, receive, streams, texts

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    **{f"receive-{name}": functools.partial(receive.target, name) for name in receive.DOORS},
    **{f"stream-{name}": functools.partial(streams.target, name) for name in streams.DECODERS},
    "slices": receive.slices,
    "sse": streams.sse,
    "eventstream": streams.eventstream,
    "templates": texts.templates,
    "guards": texts.guards,
    "heads": door.heads,
}
"""By the name that ``make fuzz`` takes."""


@functools.cache
def seeds(name: str) -> list[bytes]:
    """Where a fuzzer begins: inputs that reach far into the target."""
    family, _, rest = name.partition("-")
    if family == "receive":
        return receive.seeds(rest)
    if family == "stream":
        return streams.seeds(rest)
    return {
        "slices": lambda: [seed.partition(b"\n\n")[2] for door in receive.DOORS for seed in receive.seeds(door)],
        "sse": lambda: [seed for name in streams.DECODERS if "bedrock" not in name for seed in streams.seeds(name)],
        "eventstream": lambda: streams.seeds("bedrock"),
        "templates": texts.template_seeds,
        "guards": texts.guard_seeds,
        "heads": door.seeds,
    }[name]()
