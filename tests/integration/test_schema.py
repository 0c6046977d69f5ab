"""The schema on a real Postgres: migrations from many processes at once, the promised indexes, and the plans of the hot queries."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import msgspec
import pytest

from gateway.storage.postgres.migrate import migrate
from gateway.storage.postgres.revisions import known, pending
from gateway.storage.sql.statements import load

# --- migrations -----------------------------------------------------------------------------------------------------


async def test_many_processes_may_migrate_at_once(empty_database: str) -> None:
    wanted = await pending(empty_database)
    assert wanted == known()
    assert wanted[0] == "0001_registry"
    applied = await asyncio.gather(*(migrate(empty_database) for _ in range(3)))
    assert sorted(applied) == [[], [], wanted], "Alembic's list is ours"
    assert await pending(empty_database) == []
    connection = await asyncpg.connect(empty_database)
    await connection.execute("update alembic_version set version_num = $1", wanted[1])
    await connection.close()
    assert await pending(empty_database) == wanted[2:]


async def test_every_promised_index_exists(crowded: str) -> None:
    """Coverage D14: key hash, (prompt, application), (prompt, version), and those behind the hot queries."""
    connection = await asyncpg.connect(crowded)
    rows = await connection.fetch("select indexdef from pg_indexes where schemaname = 'public'")
    await connection.close()
    defined = "\n".join(row["indexdef"] for row in rows)
    for wanted in [
        "UNIQUE INDEX api_keys_digest_key ON public.api_keys USING btree (digest)",
        "UNIQUE INDEX prompts_application_id_slug_key ON public.prompts USING btree (application_id, slug)",
        "UNIQUE INDEX versions_prompt_id_number_key ON public.versions USING btree (prompt_id, number)",
        "UNIQUE INDEX versions_by_semver",
        "INDEX versions_by_hash",
        "INDEX versions_published",
        "UNIQUE INDEX aliases_pkey ON public.aliases USING btree (prompt_id, name)",
        "INDEX prompts_by_tag ON public.prompts USING gin (tags)",
    ]:
        assert wanted in defined


# --- the plans of the hot queries -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowded(module_database: str) -> str:
    """A database with enough rows that a sequential scan would be the wrong plan."""

    async def fill() -> None:
        connection = await asyncpg.connect(module_database)
        await connection.execute("""
            create function v7(n bigint) returns uuid language sql as
                $$ select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
            insert into applications (id, slug, name, created_at, updated_at)
                select v7(n), 'app' || n, 'x', now(), now() from generate_series(1, 1000) n;
            insert into api_keys (id, application_id, public_id, digest, created_at)
                select v7(n), v7(n % 1000 + 1), n::text, sha256(n::text::bytea), now() from generate_series(1, 5000) n;
            insert into prompts (id, application_id, slug, created_by, created_at, updated_at)
                select v7(n), v7(n % 1000 + 1), 'p' || n, 'x', now(), now() from generate_series(1, 2000) n;
            insert into versions (id, prompt_id, number, semver, content, content_hash, created_by, created_at, published_at, published_by)
                select v7(n * 10 + k), v7(n), k, '1.0.' || k, c.body::json, encode(sha256(c.body::bytea), 'hex'), 'x', now(), now(), 'x'
                from generate_series(1, 2000) n, generate_series(1, 5) k, lateral (select format('{"m":%s}', n * 10 + k) as body) c;
            insert into aliases (prompt_id, name, version_id, generation, updated_by, updated_at)
                select v7(n), 'production', v7(n * 10 + 5), 1, 'x', now() from generate_series(1, 2000) n;
            begin;
            insert into splits (id, prompt_id, salt, size, created_by, created_at)
                select v7(n), v7(n), 's', 2, 'x', now() from generate_series(1, 2000) n;
            insert into split_variants (split_id, prompt_id, position, name, version_id, weight, buckets)
                select v7(n), v7(n), k, 'v' || k, v7(n * 10 + k + 1), 5000, int4multirange(int4range(k * 5000, k * 5000 + 5000))
                from generate_series(1, 2000) n, generate_series(0, 1) k;
            commit;
            insert into aliases (prompt_id, name, split_id, generation, updated_by, updated_at)
                select v7(n), 'split', v7(n), 1, 'x', now() from generate_series(1, 2000) n;
            insert into limit_rules (id, application_id, name, scope, match, metric, period, amount, mode, on_store_error, shadow, hard,
                    created_at, updated_at)
                select v7(n), v7(n % 1000 + 1), 'l' || n, 'user', '*', 'tokens', 'day', 1, 'exact', 'open', false, false, now(), now()
                from generate_series(1, 5000) n;
            insert into outbox select n, 'prompt', v7(1), 'x', now() from generate_series(1, 20000) n;
        """)
        await connection.execute("vacuum analyze")
        await connection.close()

    asyncio.run(fill())
    return module_database


def scans(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield str(plan["Relation Name"])
    for child in plan.get("Plans", []):
        yield from scans(child)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_hot_queries_use_indexes(crowded: str, mode: str) -> None:
    app, big = "00000000-0000-7000-8000-000000000002", 19_990
    digest = bytes.fromhex("ab" * 32)
    arguments: dict[str, tuple[object, ...]] = {
        "by_alias": (app, "p1", "production"),
        "by_number": (app, "p1", 3),
        "by_semver": (app, "p1", "1.0.3"),
        "by_hash": (app, "p1", "abcdef"),
        "latest": (app, "p1"),
        "keys": ([digest],),
        "names": (app,),
        "slug": (app, app),
        "generation": (),
        "changes": (big,),
        "credentials": (),
    }
    statements = load("catalog.sql")
    assert arguments.keys() == statements.keys()
    connection = await asyncpg.connect(crowded)
    await connection.execute(f"set plan_cache_mode = {mode}")
    for name, given in arguments.items():
        raw = await connection.fetchval(f"explain (format json) {statements[name]}", *given)
        allowed = {"generation", "provider_credentials"}  # one row; a handful
        if name == "names":
            allowed |= {"applications", "prompts", "aliases", "versions"}  # reads a large part of a tenant on purpose
        found = set(scans(msgspec.json.decode(raw)[0]["Plan"]))
        assert found <= allowed, (name, found)
    await connection.close()
