"""What a call cost: integer nano-dollars from a versioned table. An unknown price is None, never 0.

Prices are decimal texts in USD per million tokens. As nano-dollars per million tokens they are whole numbers, so a cost is exact
until its one rounding, half up, to a whole nano-dollar.
"""

import re
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec import Struct

from gateway.core.events import Usage

CostStatus = Literal["exact", "estimated", "unpriced"]

_NANO = 10**9
_MILLION = 10**6
_AMOUNT = re.compile(r"\d{1,6}(\.\d{1,9})?", re.ASCII)
"""Up to nine decimals: a nano-dollar per million tokens is the smallest amount that can be written."""


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[price]]`` of the file."""

    provider: str
    """Provider family (``openai``, ``anthropic``)."""
    models: list[str]
    """Model names; a ``*`` at the end stands for anything. The longest match counts, a full name before any pattern."""
    input: str
    output: str
    cached_input: str | None = None
    """For input read from the provider's cache; without it, it costs what other input does."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    price: list[Entry]


class Price(Struct, frozen=True, gc=False):
    """Nano-dollars per million tokens."""

    input: int
    cached_input: int
    output: int


class PriceTable(Struct, frozen=True):
    """A loaded price file."""

    version: str
    """What a ledger row carries, so that its cost can be explained later."""
    exact: dict[tuple[str, str], Price]
    """By provider family and model."""
    prefixes: dict[str, list[tuple[str, Price]]]
    """By provider family: beginnings of model names, longest first."""

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a provider's model, if the table has one."""
        price = self.exact.get((provider, model))
        if price is None:
            for prefix, candidate in self.prefixes.get(provider, ()):
                if model.startswith(prefix):
                    return candidate
        return price


def load_prices(data: bytes) -> PriceTable:
    """Read ``prices.toml``. Raises ``ValueError`` naming the entry and what is wrong with it; nothing is guessed."""
    try:
        file = msgspec.toml.decode(data, type=_File)
    except msgspec.MsgspecError as error:
        raise ValueError(f"price table: {error}") from None
    exact: dict[tuple[str, str], Price] = {}
    patterns: dict[tuple[str, str], Price] = {}
    for i, entry in enumerate(file.price):
        where = f"price[{i}] ({entry.provider} {', '.join(entry.models)})"
        output, fresh = _nano(entry.output, where, "output"), _nano(entry.input, where, "input")
        cached = fresh if entry.cached_input is None else _nano(entry.cached_input, where, "cached_input")
        if not entry.models:
            raise ValueError(f"{where}: no models")
        for model in entry.models:
            table, name = (patterns, model[:-1]) if model.endswith("*") else (exact, model)
            if "*" in name or not (name or table is patterns):
                raise ValueError(f"{where}: {model!r} is no model name; only a last '*' is a pattern")
            if (entry.provider, name) in table:
                raise ValueError(f"{where}: {model!r} is listed twice")
            table[entry.provider, name] = Price(fresh, cached, output)
    prefixes: dict[str, list[tuple[str, Price]]] = {}
    for (provider, prefix), price in sorted(patterns.items(), key=lambda item: -len(item[0][1])):
        prefixes.setdefault(provider, []).append((prefix, price))
    return PriceTable(file.version, exact, prefixes)


def _nano(amount: str, where: str, field: str) -> int:
    if _AMOUNT.fullmatch(amount) is None:
        raise ValueError(f'{where}: {field} = {amount!r} is not an amount in USD such as "2.50"')
    return int(Decimal(amount) * _NANO)


def price(
    table: PriceTable, provider: str, model: str, usage: Usage | None, *, estimated: bool = False
) -> tuple[int | None, CostStatus | None]:
    """(cost in nano-dollars, status). Without usage nothing was generated: (None, None). Unknown price: (None, "unpriced").

    ``estimated`` says that the counts are our own. Cached input is part of ``usage.input`` and billed once; counts that make no
    sense (negative, more cached than read) are read in the way that bills least.
    """
    if usage is None:
        return None, None
    rates = table.find(provider, model)
    if rates is None:
        return None, "unpriced"
    read, written = max(usage.input, 0), max(usage.output, 0)
    cached = min(max(usage.cached, 0), read)
    total = (read - cached) * rates.input + cached * rates.cached_input + written * rates.output
    return (total + _MILLION // 2) // _MILLION, "estimated" if estimated else "exact"
