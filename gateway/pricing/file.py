"""``prices.toml``: its form, and how its texts become prices. Nothing is guessed; what is wrong is named.

Prices are decimal texts in USD per million tokens. As nano-dollars per million tokens they are whole numbers.
"""

import re
from collections.abc import Iterator
from decimal import Decimal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.pricing.rates import MILLION, Price

_NANO = 10**9
_DAY = re.compile(r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", re.ASCII)
_AMOUNT = re.compile(r"\d{1,6}(\.\d{1,9})?", re.ASCII)
"""Up to nine decimals: a nano-dollar per million tokens is the smallest amount that can be written."""
TIERS = ("batch", "flex", "priority")
"""Service tiers with prices of their own, as OpenAI, Anthropic and Google name them."""


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in USD per million tokens; an absent one is that of the next more general kind."""

    input: str
    output: str
    cached_input: str | None = None
    """Input read from the provider's cache; without it, ``input``."""
    cache_write: str | None = None
    """Input written to a cache of 5 minutes; without it, ``input``."""
    cache_write_1h: str | None = None
    """Input written to a cache of an hour; without it, ``cache_write``."""
    reasoning: str | None = None
    """Thoughts; without it, ``output``."""
    audio_input: str | None = None
    audio_cached: str | None = None
    """Audio read from the cache; without it, ``cached_input``, and without that ``audio_input``."""
    audio_output: str | None = None
    image_input: str | None = None
    image_output: str | None = None
    per_image: str | None = None
    """USD for one picture made."""
    per_request: str | None = None
    """USD for one request, or one unit that the provider counts."""
    per_second: str | None = None
    """USD for one second of sound, where it is billed by its length."""
    per_million_characters: str | None = None
    """USD for a million characters of text read aloud, where they are billed."""


class Picture(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one picture of a size and quality costs."""

    size: str
    """As calls ask for it (``1024x1792``)."""
    quality: str | None = None
    """Likewise (``hd``); absent: whatever its quality."""
    price: str
    """USD for one."""


class Above(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of calls with more than ``tokens`` input tokens; all tokens of such a call cost them."""

    tokens: int


class Tier(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices in another service tier."""

    above: list[Above] = []


class Entry(Tier, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[price]]`` of the file."""

    provider: str
    """Provider family (``openai``, ``anthropic``)."""
    pictures: list[Picture] = []
    """Instead of ``per_image``, for pictures whose price goes by size and quality. What a call leaves unsaid, or to the provider
    (``auto``), is as in the first; a size or quality that is not listed has no price."""
    models: list[str]
    """Model names; a ``*`` at the end stands for anything. The longest match counts, a full name before any pattern."""
    batch: str | Tier | None = None
    """A factor for all prices of the entry, or prices of its own; likewise the next two."""
    flex: str | Tier | None = None
    priority: str | Tier | None = None
    source: str | None = None
    """Where the prices were read: the vendor's page."""
    date: str | None = None
    """When they were read, as ``2026-11-21``."""


class Alias(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"to": "as"}):
    """One ``[[alias]]``: models of a provider that cost what another's do."""

    provider: str
    of: str
    """The provider family that has the prices."""
    prefixes: list[str]
    """Beginnings of model names (an empty one is that of all), replaced by ``as`` before looking there; the longest counts."""
    to: str = ""
    factor: str = "1"
    """Times the other's prices."""


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: str
    price: list[Entry]
    alias: list[Alias] = []


class PriceFileError(ValueError):
    """What is wrong with one entry; the message names it."""


def decode(data: bytes) -> File:
    """The file's form alone. Raises ``PriceFileError``."""
    try:
        return msgspec.toml.decode(data, type=File)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PriceFileError(f"price table: {error}") from None


def names(entry: Entry, where: str) -> Iterator[tuple[bool, str]]:
    """(whether it is a beginning, the name) of an entry's models. Raises ``PriceFileError``."""
    if not entry.models:
        raise PriceFileError(f"{where}: no models")
    for model in entry.models:
        pattern = model.endswith("*")
        name = model[:-1] if pattern else model
        if "*" in name or not (name or pattern):
            raise PriceFileError(f"{where}: {model!r} is no model name; only a last '*' is a pattern")
        yield pattern, name


def compiled(entry: Entry, where: str) -> Price:
    """An entry's texts as numbers. Raises ``PriceFileError``."""
    if entry.date is not None and _DAY.fullmatch(entry.date) is None:
        raise PriceFileError(f'{where}: date = {entry.date!r} is not a day such as "2026-11-21"')
    pictures = _pictures(entry, where)
    standard = replace(_with_above(entry, entry, where), pictures=pictures)
    tiers: list[tuple[str, Price]] = []
    for name in TIERS:
        given: str | Tier | None = getattr(entry, name)
        if isinstance(given, str):
            tiers.append((name, standard.times(_units(given, where, name), _NANO)))
        elif given is not None:
            tiers.append((name, replace(_with_above(given, entry, f"{where}.{name}"), pictures=pictures)))
    return replace(standard, tiers=tuple(tiers))


def scale(alias: Alias, where: str) -> tuple[int, int]:
    """An alias' factor as a fraction. Raises ``PriceFileError``."""
    return _units(alias.factor, where, "factor"), _NANO


def _with_above(rates: Tier, entry: Entry, where: str) -> Price:
    base = _price(rates, entry, where)
    steps: list[tuple[int, Price]] = []
    for step in rates.above:
        if step.tokens <= (steps[-1][0] if steps else 0):
            raise PriceFileError(f"{where}: above: tokens = {step.tokens} does not ascend")
        steps.append((step.tokens, _price(step, entry, f"{where}.above {step.tokens}")))
    return replace(base, above=tuple(steps), flat=base.flat and not steps)


def _price(rates: Rates, entry: Entry, where: str) -> Price:
    """What the entry prices apart, its tiers must price apart too: silence would mean two different things."""
    given: dict[str, int] = {}
    for field in Rates.__struct_fields__:
        text: str | None = getattr(rates, field)
        if text is None:
            text = getattr(entry, field)
            if text is None:
                continue
            if not field.startswith("per_"):
                raise PriceFileError(f"{where}: {field} is missing; the entry has one")
        given[field] = _units(text, where, field)
    fresh, made = given["input"], given["output"]
    cached = given.get("cached_input", fresh)
    write = given.get("cache_write", fresh)
    write_1h = given.get("cache_write_1h", write)
    audio = given.get("audio_input", fresh)
    heard = given.get("audio_cached", cached if "cached_input" in given else audio)
    flat = not entry.pictures and given.keys() <= {"input", "output", "cached_input"}
    return Price(
        fresh,
        cached,
        made,
        write,
        write_1h,
        given.get("reasoning", made),
        audio,
        heard,
        given.get("audio_output", made),
        given.get("image_input", fresh),
        given.get("image_output", made),
        given.get("per_image", 0) * MILLION,
        given.get("per_request", 0) * MILLION,
        given.get("per_second", 0) * (MILLION // 1000),
        given.get("per_million_characters", 0),
        flat=flat,
    )


def _pictures(entry: Entry, where: str) -> tuple[tuple[str, str, int], ...]:
    if entry.pictures and entry.per_image is not None:
        raise PriceFileError(f"{where}: give per_image or pictures, not both")
    found: dict[tuple[str, str], int] = {}
    for listed in entry.pictures:
        kind = (listed.size, listed.quality or "")
        if not listed.size or kind in found:
            raise PriceFileError(
                f"{where}: pictures: size = {listed.size!r}, quality = {listed.quality!r} is listed twice, or empty"
            )
        found[kind] = _units(listed.price, where, "pictures.price") * MILLION
    return tuple([(size, quality, amount) for (size, quality), amount in found.items()])


def _units(amount: str, where: str, field: str) -> int:
    if _AMOUNT.fullmatch(amount) is None:
        raise PriceFileError(f'{where}: {field} = {amount!r} is not an amount in USD such as "2.50"')
    return int(Decimal(amount) * _NANO)
