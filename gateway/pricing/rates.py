"""The arithmetic: usage times rates, in integers. Pure."""

from msgspec import Struct, structs

from gateway.core.events import Usage

MILLION = 10**6
UNSAID = "- -"
"""A :attr:`gateway.core.events.Usage.picture` of which neither size nor quality was said."""


class Price(Struct, frozen=True, gc=False):
    """What one model costs: nano-dollars per million tokens, images, requests, milliseconds or characters."""

    input: int
    cached_input: int
    output: int
    cache_write: int
    cache_write_1h: int
    reasoning: int
    audio_input: int
    audio_cached: int
    audio_output: int
    image_input: int
    image_output: int
    image: int
    """Per million images."""
    request: int
    """Per million requests."""
    audio_ms: int
    """Per million milliseconds of sound."""
    character: int = 0
    """Per million characters of text read aloud."""
    pictures: tuple[tuple[str, str, int], ...] = ()
    """(size, quality, price of a million), where pictures have no one price; an empty quality is any."""
    above: "tuple[tuple[int, Price], ...]" = ()
    """Prices of calls with more input tokens than this, ascending: all of such a call costs them."""
    tiers: "tuple[tuple[str, Price], ...]" = ()
    """Prices of service tiers other than the standard one."""
    flat: bool = False
    """Whether only fresh input, cached input and output have prices of their own, whatever the length: the short sum will do."""

    def amount(self, usage: Usage) -> int:
        """A millionth of a nano-dollar is the unit: exact, to be rounded once by the caller."""
        rates = self
        for bound, dearer in self.above:
            if usage.input > bound:
                rates = dearer
        cached, heard, kept, hour = usage.cached, usage.audio_cached, usage.cache_write, usage.cache_write_1h
        audio, image = usage.audio_input - heard, usage.image_input
        thought, spoken, drawn = usage.reasoning, usage.audio_output, usage.image_output
        fresh = usage.input - cached - kept - hour - audio - image
        prose = usage.output - thought - spoken - drawn
        images, requests, heard_ms, read_aloud = usage.images, usage.requests, usage.audio_ms, usage.characters
        tokens = min(fresh, cached - heard, heard, kept, hour, audio, image, prose, thought, spoken, drawn)
        if min(tokens, images, requests, heard_ms, read_aloud) < 0:
            return rates.amount(untangled(usage))
        return (
            fresh * rates.input
            + (cached - heard) * rates.cached_input
            + heard * rates.audio_cached
            + kept * rates.cache_write
            + hour * rates.cache_write_1h
            + audio * rates.audio_input
            + image * rates.image_input
            + prose * rates.output
            + thought * rates.reasoning
            + spoken * rates.audio_output
            + drawn * rates.image_output
            + images * rates.image
            + requests * rates.request
            + heard_ms * rates.audio_ms
            + read_aloud * rates.character
        )

    def of_picture(self, usage: Usage) -> "Price | None":
        """The price with what its pictures cost in the size and quality that were asked; None: those are not listed."""
        if not (self.pictures and usage.images):
            return self
        asked_size, _, asked_quality = (usage.picture or UNSAID).partition(" ")
        first_size, first_quality, _ = self.pictures[0]
        size = first_size if asked_size == "-" else asked_size
        quality = first_quality if asked_quality == "-" else asked_quality
        of_size = {listed_quality: amount for listed, listed_quality, amount in self.pictures if listed == size}
        amount = of_size.get(quality, of_size.get(""))
        return None if amount is None else structs.replace(self, image=amount)

    def covers(self, usage: Usage) -> bool:
        """Whether there is a price for every kind of piece that was billed. A model that costs nothing at all is free of those too."""
        unpriced = (
            (usage.images and not self.image)
            or (usage.audio_ms and not self.audio_ms)
            or (usage.characters and not self.character)
        )
        return not unpriced or not any(getattr(self, name) for name in _AMOUNTS)

    def of_tier(self, tier: str) -> "Price | None":
        """The price in a service tier, if the table has one."""
        for name, price in self.tiers:
            if name == tier:
                return price
        return None

    def times(self, numerator: int, denominator: int) -> "Price":
        """Every price multiplied, half up to a whole nano-dollar per million."""

        def scaled(amount: int) -> int:
            return (2 * amount * numerator + denominator) // (2 * denominator)

        def all_of(price: "Price") -> "Price":
            return Price(
                *[scaled(getattr(price, name)) for name in _AMOUNTS],
                pictures=tuple([(size, quality, scaled(amount)) for size, quality, amount in price.pictures]),
                above=tuple([(bound, all_of(dearer)) for bound, dearer in price.above]),
                tiers=tuple([(name, all_of(other)) for name, other in price.tiers]),
                flat=price.flat,
            )

        return all_of(self)


_AMOUNTS = Price.__struct_fields__[: Price.__struct_fields__.index("pictures")]
"""The fields that are amounts of money."""


def untangled(usage: Usage) -> Usage:
    """Counts that make no sense (negative, parts larger than their whole) read in the way that bills no token twice.

    A part takes at most what the parts before it have left of the whole.
    """
    left = read = max(usage.input, 0)
    cached = _part(usage.cached, left)
    left -= cached
    heard = _part(usage.audio_cached, cached)
    hour = _part(usage.cache_write_1h, left)
    left -= hour
    kept = _part(usage.cache_write, left)
    left -= kept
    audio = _part(usage.audio_input - heard, left)
    left -= audio
    image = _part(usage.image_input, left)
    rest = made = max(usage.output, 0)
    spoken = _part(usage.audio_output, rest)
    rest -= spoken
    drawn = _part(usage.image_output, rest)
    rest -= drawn
    thought = _part(usage.reasoning, rest)
    return Usage(
        read,
        made,
        cached,
        thought,
        kept,
        hour,
        audio + heard,
        heard,
        spoken,
        image,
        drawn,
        max(usage.images, 0),
        max(usage.requests, 0),
        usage.tier,
        max(usage.audio_ms, 0),
        max(usage.characters, 0),
        usage.picture,
    )


def _part(count: int, left: int) -> int:
    return max(0, min(count, left))
