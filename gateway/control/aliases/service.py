"""Moving an alias, and waiting until the move has arrived everywhere."""

from gateway.control.aliases.schemas import MAX_WAIT_MS, Moved, Propagation, Wait
from gateway.control.services import ControlServices
from gateway.core.errors import MALFORMED, GatewayError
from gateway.storage.postgres.rows import AliasMove, Written


def check_wait(asked: Wait) -> None:
    """Before anything is written. Raises ``malformed`` for a time-out out of range."""
    if not 1 <= asked.wait_timeout_ms <= MAX_WAIT_MS:
        raise GatewayError(MALFORMED, f"wait_timeout_ms: 1 to {MAX_WAIT_MS}", param="wait_timeout_ms")


async def settle(services: ControlServices, written: Written[AliasMove], asked: Wait) -> Moved:
    """After the commit: tell the workers and, if asked, wait for them.

    A worker that lags is in the answer and not an error: the change is committed, and taking it back is the caller's choice.
    """
    committed = services.monotonic()
    await services.announce(written)
    propagation = None
    if asked.wait:
        lagging = await services.registry.wait_for_generation(written.generation, timeout_s=asked.wait_timeout_ms / 1000)
        waited_ms = round((services.monotonic() - committed) * 1000, 1)
        alive = await services.registry.workers()
        propagation = Propagation(written.generation, waited_ms, len(alive), lagging)
    return Moved.of(written.value, written.created, propagation)
