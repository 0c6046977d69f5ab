"""Probes: what they find, and that a failing or hanging one is a finding and not a failure."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.control.status import probes
from gateway.control.status.probes import Probe
from gateway.control.status.service import Check, examine
from gateway.core.errors import STORE_UNAVAILABLE, GatewayError
from gateway.core.keys import PLAIN, Peppers


def answers(value: Any) -> Any:
    async def ask() -> Any:
        return value

    return ask


def fails(error: Exception) -> Any:
    async def ask() -> str:
        raise error

    return ask


async def found(probe: Probe) -> tuple[bool, str]:
    check = (await examine([probe])).checks[0]
    return check.ok, check.detail


async def test_all_well():
    status = await examine([probes.postgres(answers("17.2")), probes.redis(answers("8.0")), probes.migrations(answers([]))])
    assert status.ok
    assert [(c.name, c.detail) for c in status.checks] == [
        ("postgres", "17.2"),
        ("redis", "8.0"),
        ("migrations", "none pending"),
    ]


async def test_one_failure_does_not_hide_the_others():
    async def hang() -> str:
        await asyncio.sleep(60)
        return "never"

    status = await examine(
        [
            Probe("slow", hang, "wait"),
            Probe("private", fails(GatewayError(STORE_UNAVAILABLE, "public", cause="connection refused")), "start it"),
            Probe("broken", fails(ValueError("boom")), "mend it"),
            Probe("fine", answers("yes"), ""),
        ],
        timeout_s=0.05,
    )
    assert not status.ok
    assert status.checks == [
        Check("slow", False, "no answer within 0.05 s", "wait"),
        Check("private", False, "connection refused", "start it"),
        Check("broken", False, "ValueError: boom", "mend it"),
        Check("fine", True, "yes", ""),
    ]


async def test_pending_migrations_are_named():
    assert await found(probes.migrations(answers(["0002", "0003"]))) == (False, "2 pending: 0002, 0003")


async def test_too_few_partitions():
    assert (await found(probes.partitions(answers(1), 3)))[0] is False
    assert await found(probes.partitions(answers(3), 3)) == (True, "3 day partitions ahead")


async def test_a_ledger_that_lags():
    assert await found(probes.ledger(answers((2_000_000, 3.0)), 60)) == (True, "2.0 MB waiting, the oldest for 3 s")
    assert (await found(probes.ledger(answers((2_000_000, 61.0)), 60)))[0] is False


@pytest.mark.parametrize(("names", "detail"), [(["openai", "echo"], "openai"), (["echo"], "only the built-in echo answers")])
async def test_providers(names: list[str], detail: str):
    assert await found(probes.providers(lambda: names, lambda: 0)) == (True, detail)


async def test_stored_credentials_that_do_not_decrypt_are_no_good_sign():
    well, detail = await found(probes.providers(lambda: ["openai"], lambda: 2))
    assert not well
    assert detail.startswith("2 stored credentials do not decrypt")


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(probes, "MIN_FREE_BYTES", 0)
    assert (await found(probes.disk(tmp_path)))[0] is True
    monkeypatch.setattr(probes, "MIN_FREE_BYTES", 1 << 62)
    assert (await found(probes.disk(tmp_path)))[0] is False


async def test_keys_are_counted_by_their_pepper():
    old, new = (Peppers(letter * 32) for letter in (b"o", b"n"))
    both = Peppers(b"n" * 32, b"o" * 32)
    counts = {None: 3, old.mark: 2, new.mark: 5}
    assert await found(probes.keys(answers({None: 3}), PLAIN)) == (True, "3 live, 3 without a pepper")
    assert await found(probes.keys(answers({}), PLAIN)) == (True, "0 live")
    assert await found(probes.keys(answers({new.mark: 5}), both)) == (
        True,
        "5 live, none without a pepper: plain_keys can be refused",
    )
    assert await found(probes.keys(answers(counts), both)) == (
        True,
        "10 live, 3 without a pepper, 2 with the previous pepper",
    )
    alone = Peppers(b"n" * 32, alone=True)
    assert await found(probes.keys(answers({new.mark: 3}), alone)) == (True, "3 live, refused without a pepper")
    assert await found(probes.keys(answers({new.mark: 3, None: 2}), alone)) == (
        False,
        "2 of 5 keys have no pepper, and are refused: they open nothing",
    )
    for peppers, lost in ((new, 2), (old, 5), (PLAIN, 7)):
        assert await found(probes.keys(answers(counts), peppers)) == (
            False,
            f"{lost} of 10 keys have a pepper that is not set: they open nothing",
        )
