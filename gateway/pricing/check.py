"""Looking at a price file before it is served: what is wrong with it, what is old, what has no source. Pure."""

from msgspec import Struct

from gateway.pricing.file import PriceFileError, decode
from gateway.pricing.table import PriceTable, Source, build


class Checked(Struct, frozen=True):
    """A price file, judged."""

    table: PriceTable | None
    """What of it can be used; None when it is no price file at all."""
    problems: list[str]
    """What keeps it from being served, duplicates included; empty for a good one."""


def checked(data: bytes) -> Checked:
    """Judge the bytes of a file. Never raises."""
    try:
        file = decode(data)
    except PriceFileError as error:
        return Checked(None, [str(error)])
    table, problems = build(file)
    return Checked(table, problems)


def old(table: PriceTable, day: str) -> list[Source]:
    """Entries read before ``day`` (as ``2026-11-21``)."""
    return [source for source in table.sources if source.date is not None and source.date < day]


def unsourced(table: PriceTable) -> list[Source]:
    """Entries that do not say where and when they were read."""
    return [source for source in table.sources if source.source is None or source.date is None]
