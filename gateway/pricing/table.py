"""What a call cost: integer nano-dollars from a versioned table. An unknown price is None, never 0.

A cost is exact until its one rounding, half up, to a whole nano-dollar.
"""

from typing import Literal

from msgspec import Struct, field

from gateway.core.events import Usage
from gateway.pricing.file import Alias, Entry, File, PriceFileError, compiled, decode, names, scale
from gateway.pricing.rates import MILLION, Price

CostStatus = Literal["exact", "estimated", "unpriced"]

LARGEST_COST = 2**63 - 1
"""Nano-dollars that the ledger's bigint holds; a cost beyond nine billion dollars is no cost."""
_HALF = MILLION // 2
_REMEMBERED = 4096
"""Model names whose entry is kept once found: far above what is in use, small against a worker's memory."""
_LONGEST_REMEMBERED = 128
"""Characters of a name worth keeping: real ones are shorter, a stranger's may be megabytes."""


class Source(Struct, frozen=True):
    """Where an entry comes from, for whoever checks the table."""

    provider: str
    models: list[str]
    source: str | None
    date: str | None


class PriceTable(Struct, frozen=True):
    """A loaded price file."""

    version: str
    """What a ledger row carries, so that its cost can be explained later."""
    exact: dict[tuple[str, str], Price]
    """By provider family and model."""
    prefixes: dict[str, list[tuple[str, Price]]]
    """By provider family: beginnings of model names, longest first."""
    aliases: dict[str, list[tuple[str, str, str, tuple[int, int]]]] = {}
    """By provider: (beginning, family, its replacement, factor), longest beginning first."""
    sources: list[Source] = []
    _found: dict[tuple[str, str], Price | None] = field(default_factory=dict[tuple[str, str], "Price | None"])

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a provider's model, if the table has one."""
        key = (provider, model)
        price = self.exact.get(key)
        if price is not None:
            return price
        try:
            return self._found[key]
        except KeyError:
            price = self._search(provider, model)
        if len(model) <= _LONGEST_REMEMBERED:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = price
        return price

    def _search(self, provider: str, model: str) -> Price | None:
        price = self._listed(provider, model)
        if price is not None:
            return price
        for prefix, family, to, (numerator, denominator) in self.aliases.get(provider, ()):
            if model.startswith(prefix):
                other = self._listed(family, to + model[len(prefix) :])
                if other is not None:
                    return other if numerator == denominator else other.times(numerator, denominator)
        return None

    def _listed(self, provider: str, model: str) -> Price | None:
        price = self.exact.get((provider, model))
        if price is None:
            for prefix, candidate in self.prefixes.get(provider, ()):
                if model.startswith(prefix):
                    return candidate
        return price


def load_prices(data: bytes) -> PriceTable:
    """Read ``prices.toml``. Raises ``ValueError`` naming the entry and what is wrong with it; nothing is guessed."""
    file = decode(data)
    table, problems = build(file)
    if problems:
        raise PriceFileError(problems[0])
    return table


def build(file: File) -> tuple[PriceTable, list[str]]:
    """The table of what is right in a file, and everything that is wrong with it, duplicates included."""
    exact: dict[tuple[str, str], Price] = {}
    patterns: dict[tuple[str, str], Price] = {}
    problems: list[str] = []
    for i, entry in enumerate(file.price):
        where = f"price[{i}] ({entry.provider} {', '.join(entry.models)})"
        try:
            price = compiled(entry, where)
            for pattern, name in names(entry, where):
                known = patterns if pattern else exact
                if (entry.provider, name) in known:
                    problems.append(f"{where}: {name + '*' * pattern!r} is listed twice")
                else:
                    known[entry.provider, name] = price
        except PriceFileError as error:
            problems.append(str(error))
    prefixes: dict[str, list[tuple[str, Price]]] = {}
    for (provider, prefix), price in sorted(patterns.items(), key=lambda item: -len(item[0][1])):
        prefixes.setdefault(provider, []).append((prefix, price))
    families = {entry.provider for entry in file.price}
    aliases = _aliases(file.alias, families, problems)
    return PriceTable(file.version, exact, prefixes, aliases, [_source(entry) for entry in file.price]), problems


def _aliases(
    given: list[Alias], families: set[str], problems: list[str]
) -> dict[str, list[tuple[str, str, str, tuple[int, int]]]]:
    found: dict[str, dict[str, tuple[str, str, str, tuple[int, int]]]] = {}
    for i, alias in enumerate(given):
        where = f"alias[{i}] ({alias.provider})"
        try:
            factor = scale(alias, where)
        except PriceFileError as error:
            problems.append(str(error))
            continue
        if alias.of not in families:
            problems.append(f"{where}: of = {alias.of!r} has no prices")
        mine = found.setdefault(alias.provider, {})
        for prefix in alias.prefixes:
            if prefix in mine:
                problems.append(f"{where}: the prefix {prefix!r} is listed twice")
            mine[prefix] = (prefix, alias.of, alias.to, factor)
    return {provider: sorted(mine.values(), key=lambda item: -len(item[0])) for provider, mine in found.items()}


def _source(entry: Entry) -> Source:
    return Source(entry.provider, entry.models, entry.source, entry.date)


def price(
    table: PriceTable, provider: str, model: str, usage: Usage | None, *, estimated: bool = False
) -> tuple[int | None, CostStatus | None]:
    """(cost in nano-dollars, status). Without usage nothing was generated: (None, None). Unknown price: (None, "unpriced").

    ``estimated`` says that the counts are our own; a service tier that the table has no price for makes an estimate too, at standard
    rates. Cached input is part of ``usage.input`` and billed once; counts that make no sense (negative, more cached than read)
    are read in the way that bills no token twice. A cost that no ledger row could hold is none. What is billed by the piece (pictures,
    seconds, characters) has no price where the table has one for tokens only.
    """
    if usage is None:
        return None, None
    rates = table.find(provider, model)
    if rates is None:
        return None, "unpriced"
    tier = usage.tier
    if tier is not None:
        special = rates.of_tier(tier)
        if special is None:
            estimated = True
        else:
            rates = special
    if rates.flat:
        read, written, cached = usage.input, usage.output, usage.cached
        if 0 <= cached <= read and written >= 0:
            amount = read * rates.input + written * rates.output
            if cached:
                amount -= cached * (rates.input - rates.cached_input)
        else:
            amount = rates.amount(usage)
    else:
        rates = rates.of_picture(usage)
        if rates is None:
            return None, "unpriced"
        amount = rates.amount(usage)
    cost = (amount + _HALF) // MILLION
    if cost > LARGEST_COST or ((usage.images or usage.audio_ms or usage.characters) and not rates.covers(usage)):
        return None, "unpriced"
    return cost, "estimated" if estimated else "exact"


def price_of_input(table: PriceTable, provider: str, model: str, tokens: int) -> int | None:
    """What a call of which only the estimated input is known has cost at least, in nano-dollars.

    None where the table does not know the model, and where it is billed by the piece: how many there were is not known.
    """
    rates = table.find(provider, model)
    if rates is None or (not rates.input and (rates.image or rates.audio_ms or rates.character or rates.pictures)):
        return None
    return price(table, provider, model, Usage(tokens, 0), estimated=True)[0]
