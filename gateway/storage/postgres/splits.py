"""Splits: publishing several versions under one name."""

import re

from gateway.core.documents import VariantSpec, VersionContent
from gateway.core.errors import MALFORMED, NOT_FOUND, GatewayError
from gateway.experiments.allocation import Share, allocate
from gateway.storage.postgres.applications import find_application
from gateway.storage.postgres.moves import Move, Moves, Place, find_split
from gateway.storage.postgres.pool import connected
from gateway.storage.postgres.rows import AliasMove, NewSplit, Split, Version, Written
from gateway.storage.postgres.versions import add_version, content_hash, find_prompt, find_version
from gateway.storage.postgres.writing import Write, is_id
from gateway.storage.sql.statements import load

_SQL = load("splits.sql")
_SALT = re.compile(r"[A-Za-z0-9._:-]{1,64}")
"""At most what BLAKE2b takes for a key."""


class Splits(Moves):
    """The part of the registry that is about splits."""

    async def split(
        self,
        application: str,
        prompt: str,
        alias: str,
        asked: NewSplit,
        *,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """Make the variants' versions servable and split ``alias`` among them.

        Where the alias is split already, the salt stays unless another one is given, and only as many units move as the weights
        ask for; the very same variants change nothing. Raises ``malformed`` for variants that are no split.
        """
        async with self._move(actor, application, prompt, alias, asked.expected_version, asked.expected_split) as move:
            if asked.salt is not None and _SALT.fullmatch(asked.salt) is None:
                raise GatewayError(MALFORMED, "salt: 1 to 64 letters, digits, '.', '_', ':' or '-'", param="salt")
            write, now, salt, variants = move.write, move.now.split, asked.salt, asked.variants
            if now is not None and salt in {None, now.salt} and now.variants == variants:
                return await move.to("split", move.now, message)
            follows = now if now is not None and salt in {None, now.salt} else None
            before = {} if follows is None else await _buckets(write, follows)
            shares = allocate([(variant.name, variant.weight) for variant in variants], before)
            versions = [await find_version(write.connection, move.prompt, variant.version) for variant in variants]
            new = self._ids()
            kept = salt or (new if follows is None else follows.salt)
            await write.connection.execute(
                _SQL["insert_split"], new, move.prompt.id, kept, len(variants), write.actor, write.now
            )
            for position, (variant, version) in enumerate(zip(variants, versions, strict=True)):
                await move.publish(version)
                await write.connection.execute(
                    _SQL["insert_variant"],
                    new,
                    move.prompt.id,
                    position,
                    variant.name,
                    version.id,
                    variant.weight,
                    _multirange(shares[variant.name]),
                    variant.model,
                    variant.params,
                    variant.guardrails,
                )
            place = Place(split=await find_split(write.connection, move.prompt, new))
            return await move.to("split", place, message)

    async def set_split(
        self,
        application: str,
        prompt: str,
        alias: str,
        split: str,
        *,
        expected_version: int | None = None,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """Point ``alias`` at a split that was made before, by its id. Raises ``not_found``."""
        async with self._move(actor, application, prompt, alias, expected_version) as move:
            if not is_id(split):
                raise GatewayError(MALFORMED, f"split: {split[:80]!r} is not the id of a split", param="split")
            return await move.to("set", Place(split=await find_split(move.write.connection, move.prompt, split)), message)

    async def promote(  # noqa: PLR0913 - what to promote, of what, and who says so
        self,
        application: str,
        prompt: str,
        alias: str,
        variant: str,
        *,
        content: VersionContent | None = None,
        expected_split: str | None = None,
        message: str = "",
        actor: str,
    ) -> Written[AliasMove]:
        """End a split: ``alias`` points at the version of one of its variants from now on.

        ``content`` is what the variant serves, where that is more than its version: it becomes a version of its own, so that
        the callers of the variant go on getting what they got. Raises ``not_found`` for a variant or split that is not there.
        """
        async with self._move(actor, application, prompt, alias, split=expected_split) as move:
            chosen = variant_of(_split_of(move), variant, move.name)
            version = await find_version(move.write.connection, move.prompt, chosen.version)
            if content is not None:
                version = await self._own_version(move, version, content, variant)
                await move.publish(version)
            return await move.to("promote", Place(version.id, version.number), message)

    async def get_split(self, application: str, prompt: str, alias: str) -> Split:
        """What ``alias`` is split into. Raises ``not_found`` when it is not."""
        async with connected(self._pool) as connection:
            found = await find_prompt(connection, await find_application(connection, application), prompt)
            split_id = await connection.fetchval(_SQL["split_of_alias"], found.id, alias)
            if split_id is None:
                raise GatewayError(NOT_FOUND, f"{found.slug}@{alias[:80]} is not split", param="alias")
            return await find_split(connection, found, str(split_id))

    async def _own_version(self, move: Move, version: Version, content: VersionContent, variant: str) -> Version:
        newest = await find_version(move.write.connection, move.prompt, move.prompt.latest_version)
        if newest.content_hash == content_hash(content):
            return newest
        number = await add_version(
            move.write,
            self._ids(),
            move.prompt.id,
            content,
            parents=[version.id],
            message=f"Variant {variant} of {move.name}",
            semver=None,
        )
        return await find_version(move.write.connection, move.prompt, number)


def variant_of(split: Split, name: str, alias: str) -> VariantSpec:
    """A variant by its name. Raises ``not_found`` naming those there are; ``alias`` is for the message."""
    for variant in split.variants:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in split.variants)
    raise GatewayError(NOT_FOUND, f"{alias} has no variant {name[:80]!r}; it has {known}", param="variant")


def _split_of(move: Move) -> Split:
    if move.now.id is None:
        raise move.missing()
    if move.now.split is None:
        raise GatewayError(NOT_FOUND, f"{move.name} is not split; it {move.now}", param="alias")
    return move.now.split


async def _buckets(write: Write, split: Split) -> dict[str, Share]:
    rows = await write.connection.fetch(_SQL["buckets"], split.id)
    return {row["name"]: [(first, end) for first, end in row["buckets"]] for row in rows}


def _multirange(share: Share) -> str:
    """As Postgres writes one: ``{[0,10),[20,30)}``."""
    return "{" + ",".join(f"[{first},{end})" for first, end in share) + "}"
