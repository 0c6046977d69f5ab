"""The words of the Jinja dialect: what a template may use. Leaving something out is safe, adding needs a look at its cost."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


STATEMENTS = _names("if elif else endif for endfor set endset break continue")
FUNCTIONS = frozenset(["range", "namespace", "dict"])
METHODS = _names("items keys values get cycle changed")
_WALKERS = _names(
    "list sort unique reverse map select reject selectattr rejectattr min max items dictsort groupby split lines"
    " title capitalize"
)
_SCANNERS = _names("upper lower trim string int float")
CHARGED = {**dict.fromkeys(_WALKERS, "_each"), **dict.fromkeys(_SCANNERS, "_scan")}
"""The engine's own filters that go through all of their input, with the filter that charges for it."""

FILTERS = frozenset(CHARGED) | _names(
    "default d length count first last abs round bool join replace indent truncate sum json tojson"
)
TESTS = _names(
    "defined undefined none true false boolean string number integer float sequence mapping iterable odd even divisibleby"
    " eq equalto ne lt lessthan le gt greaterthan ge startingwith endingwith lower upper"
)
OPERATORS = _names("and or not in is if elif else for set")
RESERVED = OPERATORS | FUNCTIONS | _names("true false none True False None loop self")
"""Names that are no variables."""
