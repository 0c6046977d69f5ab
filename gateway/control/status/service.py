"""Asking every probe at once."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from gateway.control.status.probes import Probe, UnwellError
from gateway.core.errors import GatewayError

PROBE_TIMEOUT_S = 3.0
"""A store that needs longer for a trivial question is not well."""


class Check(Struct, frozen=True):
    """What one probe found."""

    name: str
    ok: bool
    detail: str
    mend: str
    """What to do when it is not ok."""


class Status(Struct, frozen=True):
    """The installation's state."""

    ok: bool
    checks: list[Check]


async def examine(probes: Sequence[Probe], timeout_s: float = PROBE_TIMEOUT_S) -> Status:
    """Every probe's finding, in the given order. Never raises: a probe that fails or hangs is a finding."""
    checks = await asyncio.gather(*(_check(probe, timeout_s) for probe in probes))
    return Status(all(check.ok for check in checks), list(checks))


async def _check(probe: Probe, timeout_s: float) -> Check:
    try:
        async with asyncio.timeout(timeout_s):
            return Check(probe.name, True, await probe.ask(), probe.mend)
    except TimeoutError:
        found = f"no answer within {timeout_s:g} s"
    except UnwellError as unwell:
        found = str(unwell)
    except GatewayError as error:
        found = error.cause or error.detail
    except Exception as error:  # noqa: BLE001 - any driver's error is the finding
        found = f"{type(error).__name__}: {error}"
    return Check(probe.name, False, found, probe.mend)
