"""What clients were promised: status, type, code and retry advice of every failure, as callers' code has come to rely on them.

A changed line here is a breaking change; a new failure adds a line.
"""

from pathlib import Path

import msgspec
import pytest

from gateway.core.errors import KINDS, GatewayError
from gateway.dialects.chat import CHAT_DIALECT
from gateway.edge.problems import head_of

GOLDEN: dict[str, dict[str, object]] = msgspec.json.decode((Path(__file__).parents[2] / "golden" / "errors.json").read_bytes())


def test_every_failure_is_promised() -> None:
    assert set(GOLDEN) == set(KINDS)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_a_failure_is_what_it_was(name: str) -> None:
    error = GatewayError(KINDS[name], "text")
    body = msgspec.json.decode(CHAT_DIALECT.problem(error, ""))["error"]
    assert {
        "status": error.status,
        "type": body["type"],
        "code": body["code"],
        "retry_in_vain": b"x-should-retry: false" in head_of(error, "id", CHAT_DIALECT),
    } == GOLDEN[name]
