"""The readable side of the registry, as the data plane asks it."""

import contextlib
from collections.abc import Sequence

import msgspec

from gateway.core.credentials import SealedCredential
from gateway.core.documents import Change, KeyDocument, ReleaseDocument, Split, Variant, VariantSpec, VersionContent
from gateway.core.references import DRAFT, LATEST, PRODUCTION, Reference
from gateway.experiments.overlay import served
from gateway.storage.postgres.pool import Pool, Record, connected
from gateway.storage.postgres.writing import is_id, struct
from gateway.storage.sql.statements import load

_SQL = load("catalog.sql")
_CONTENT = msgspec.json.Decoder(VersionContent)


class PostgresCatalog:
    """The :class:`gateway.core.ports.Catalog` of Postgres: one indexed statement per question."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def release(self, application_id: str, reference: Reference) -> ReleaseDocument | None:
        """What a reference resolves to now. An ambiguous hash prefix resolves to nothing."""
        if reference.alias == DRAFT or not is_id(application_id):
            return None
        statement, *selector = _question(reference)
        async with connected(self._pool) as connection:
            rows: list[Record] = await connection.fetch(_SQL[statement], application_id, reference.slug, *selector)
        if not rows:
            return None
        row = rows[0]
        split_id = row.get("split_id")
        if len(rows) > 1 and split_id is None:
            return None
        variants = [] if split_id is None else [_variant(each) for each in rows]
        return ReleaseDocument(
            application_id=application_id,
            prompt_id=str(row["prompt_id"]),
            slug=reference.slug,
            selector=reference.selector,
            version=row["number"],
            content=variants[0].content if variants else _CONTENT.decode(row["content"]),
            content_hash=row["content_hash"],
            generation=row["generation"],
            semver=row["semver"],
            split=Split(str(split_id), row["salt"], variants) if variants else None,
            changed=row["changed"],
        )

    async def keys(self, digests: Sequence[str]) -> dict[str, KeyDocument]:
        """Live keys by the SHA-256 of their texts. Comparing hashes of 192 random bits tells nothing by its timing."""
        wanted: list[bytes] = []
        for digest in digests:
            with contextlib.suppress(ValueError):
                wanted.append(bytes.fromhex(digest))
        async with connected(self._pool) as connection:
            rows: list[Record] = await connection.fetch(_SQL["keys"], wanted)
        return {row["digest"]: struct(row, KeyDocument) for row in rows}

    async def credentials(self) -> list[SealedCredential]:
        """The installation's keys of provider accounts."""
        async with connected(self._pool) as connection:
            return [struct(row, SealedCredential) for row in await connection.fetch(_SQL["credentials"])]

    async def slug(self, application_id: str, prompt_id: str) -> str | None:
        """The slug of a prompt by its id."""
        if not (is_id(application_id) and is_id(prompt_id)):
            return None
        async with connected(self._pool) as connection:
            return await connection.fetchval(_SQL["slug"], application_id, prompt_id)

    async def names(self, application_id: str) -> list[str]:
        """``slug@alias`` of everything served, and the bare slug where ``production`` makes it mean something; sorted."""
        if not is_id(application_id):
            return []
        async with connected(self._pool) as connection:
            rows = await connection.fetch(_SQL["names"], application_id)
        names = [f"{row['slug']}@{row['name']}" for row in rows]
        return sorted(names + [row["slug"] for row in rows if row["name"] == PRODUCTION])

    async def generation(self) -> int:
        """The number that rises with every change of what is served."""
        async with connected(self._pool) as connection:
            return await connection.fetchval(_SQL["generation"])

    async def changes(self, after: int) -> list[Change]:
        """What changed since ``after``, oldest first."""
        async with connected(self._pool) as connection:
            return [struct(row, Change) for row in await connection.fetch(_SQL["changes"], after)]


def _variant(row: Record) -> Variant:
    own = {name: row[name] for name in ("name", "weight", "model", "params", "guardrails")}
    spec = msgspec.convert({**own, "version": row["number"]}, VariantSpec)
    buckets = [(first, end) for first, end in row["buckets"]]
    return served(spec, buckets, _CONTENT.decode(row["content"]), row["content_hash"], row["semver"])


def _question(reference: Reference) -> tuple[str] | tuple[str, str | int]:
    if reference.version is not None:
        return "by_number", reference.version
    if reference.semver is not None:
        return "by_semver", reference.semver
    if reference.digest is not None:
        return "by_hash", reference.digest
    if reference.alias == LATEST:
        return ("latest",)
    return "by_alias", reference.alias or PRODUCTION
