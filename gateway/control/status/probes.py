"""The checks behind ``GET /status``: each asks one thing, and knows how to mend it.

A probe is made from the smallest callable that can answer it, so that the control plane knows no driver.
"""

import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from gateway.core.keys import Peppers

Ask = Callable[[], Awaitable[str]]
"""Returns what was found; raises :class:`UnwellError`, or anything else, when it is not well."""

MIN_FREE_BYTES = 1 << 30
"""A gigabyte: some hours of ledger spool at full load, which is the time left to react."""


class UnwellError(Exception):
    """A check that failed; the text says what was found."""


class Probe(Struct, frozen=True):
    """One check."""

    name: str
    ask: Ask
    mend: str
    """What to do when it fails."""


def postgres(version: Callable[[], Awaitable[str]]) -> Probe:
    """``version`` asks the server for its version."""
    return Probe(
        "postgres", version, "start Postgres, or correct PROMPTGATE_DATABASE_URL; meanwhile releases are served from memory"
    )


def migrations(pending: Callable[[], Awaitable[Sequence[str]]]) -> Probe:
    """``pending`` lists the revisions that the database lacks."""

    async def ask() -> str:
        if missing := await pending():
            raise UnwellError(f"{len(missing)} pending: {', '.join(missing)}")
        return "none pending"

    return Probe("migrations", ask, "run `python -m gateway migrate` (or `make db-migrate`)")


def partitions(days_ahead: Callable[[], Awaitable[int]], wanted: int) -> Probe:
    """``days_ahead`` counts the ledger's day partitions after today."""

    async def ask() -> str:
        days = await days_ahead()
        if days < wanted:
            raise UnwellError(f"{days} day partitions ahead, {wanted} wanted")
        return f"{days} day partitions ahead"

    return Probe("partitions", ask, "partitions are made by the running gateway: see its log for what stops it")


def keys(by_pepper: Callable[[], Awaitable[Mapping[str | None, int]]], peppers: Peppers) -> Probe:
    """``by_pepper`` counts live keys by the mark of the pepper in their digest (None: none)."""

    async def ask() -> str:
        counts = await by_pepper()
        known = {None: "without a pepper", peppers.previous_mark or "": "with the previous pepper"}
        lost = sum(number for mark, number in counts.items() if mark is not None and mark not in {*known, peppers.mark})
        if lost:
            raise UnwellError(f"{lost} of {sum(counts.values())} keys have a pepper that is not set: they open nothing")
        if peppers.alone and None in counts:
            raise UnwellError(
                f"{counts[None]} of {sum(counts.values())} keys have no pepper, and are refused: they open nothing"
            )
        others = [f"{counts[mark]} {words}" for mark, words in known.items() if mark in counts]
        if peppers.mark is not None and None not in counts:
            others.append("refused without a pepper" if peppers.alone else "none without a pepper: plain_keys can be refused")
        return ", ".join([f"{sum(counts.values())} live", *others])

    return Probe(
        "keys",
        ask,
        "set PROMPTGATE_SECURITY_PEPPER, or PROMPTGATE_SECURITY_PREVIOUS_PEPPER, to the one they were made with;"
        " rotate or revoke keys that have none, or accept them with PROMPTGATE_SECURITY_PLAIN_KEYS",
    )


def redis(version: Callable[[], Awaitable[str]]) -> Probe:
    """``version`` asks the server for its version."""
    return Probe("redis", version, "start Redis, or correct PROMPTGATE_REDIS_URL; meanwhile rate limits are kept per worker")


def ledger(waiting: Callable[[], Awaitable[tuple[int, float]]], max_age_s: float) -> Probe:
    """``waiting`` tells how many bytes the spool still holds for Postgres, and the age in seconds of the oldest."""

    async def ask() -> str:
        held, age_s = await waiting()
        found = f"{held / 1e6:.1f} MB waiting, the oldest for {age_s:.0f} s"
        if age_s > max_age_s:
            raise UnwellError(found)
        return found

    return Probe("ledger", ask, "rows wait on disk and are not lost; make Postgres reachable and they will be shipped")


def providers(names: Callable[[], Sequence[str]], locked: Callable[[], int]) -> Probe:
    """``names`` of the providers that are set up; ``locked`` credentials do not decrypt."""

    async def ask() -> str:
        real = [name for name in names() if name != "echo"]
        if locked():
            raise UnwellError(f"{locked()} stored credentials do not decrypt: see promptgate credentials list")
        return f"{', '.join(real)}" if real else "only the built-in echo answers"

    return Probe("providers", ask, "set PROMPTGATE_PROVIDERS_OPENAI_API_KEY, or add a provider to config/providers.toml")


def disk(folder: Path) -> Probe:
    """The disk under ``folder``, where the spool and the snapshot are."""

    async def ask() -> str:
        free = shutil.disk_usage(folder).free
        found = f"{free / 1e9:.1f} GB free"
        if free < MIN_FREE_BYTES:
            raise UnwellError(found)
        return found

    return Probe("disk", ask, "free some space, or point PROMPTGATE_STORAGE_DIRECTORY at a larger disk")
