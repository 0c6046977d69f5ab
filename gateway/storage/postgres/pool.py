"""Connections to Postgres, and what their failures mean."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import msgspec

from gateway.core.errors import CONFLICT, MALFORMED, STORE_UNAVAILABLE, GatewayError

CONNECT_TIMEOUT_S = 2.0
COMMAND_TIMEOUT_S = 2.0
"""Statements take a millisecond; past this the answer is "not available", and callers have a last-known-good one."""
ACQUIRE_TIMEOUT_S = 2.0
"""How long to wait for a free connection before saying so."""

_JSONB_VERSION = b"\x01"
"""Leads every jsonb value in the binary protocol."""

Record = asyncpg.Record
Pool = asyncpg.Pool
"""A pool as :func:`open_pool` makes it."""
Connection = asyncpg.pool.PoolConnectionProxy


async def open_pool(url: str, min_size: int = 1, max_size: int = 4) -> Pool:
    """A pool whose ``json`` and ``jsonb`` parameters and columns are Python values, also in ``COPY``.

    Raises what asyncpg raises when the server cannot be reached.
    """
    return await asyncpg.create_pool(
        url,
        min_size=min_size,
        max_size=max_size,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
        init=_teach_json,
    )


@asynccontextmanager
async def connected(pool: Pool) -> AsyncGenerator[Connection]:
    """A connection for a few statements.

    Raises ``store_unavailable`` for whatever keeps Postgres from answering, ``malformed`` for a value it cannot hold and
    ``conflict`` for one that must be unique.
    """
    try:
        async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
            yield cast("Connection", connection)
    except (asyncpg.DataError, asyncpg.CheckViolationError) as error:
        raise GatewayError(
            MALFORMED, "a value is out of range or has characters that cannot be stored", cause=repr(error)
        ) from error
    except asyncpg.UniqueViolationError as error:
        raise GatewayError(CONFLICT, "something with this name exists already", cause=repr(error)) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise GatewayError(STORE_UNAVAILABLE, "the registry cannot be reached", cause=repr(error)) from error


async def _teach_json(connection: Connection) -> None:
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=msgspec.json.encode, decoder=msgspec.json.decode, format="binary"
    )
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=_encode_jsonb,
        decoder=_decode_jsonb,
        format="binary",
    )


def _encode_jsonb(value: Any) -> bytes:
    return _JSONB_VERSION + msgspec.json.encode(value)


def _decode_jsonb(data: bytes) -> Any:
    return msgspec.json.decode(data[1:])
