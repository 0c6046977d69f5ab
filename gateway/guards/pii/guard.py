"""The guard type ``pii``."""

from gateway.guards.catalogue import GuardType
from gateway.guards.pii.kinds import FORMS
from gateway.guards.tables import TableOptions, maker

PII = GuardType(
    "pii",
    TableOptions,
    maker(FORMS),
    "Finds personal data: addresses, numbers of telephones, cards, accounts and persons, by their checksums.",
    "Presidio's recognisers, https://microsoft.github.io/presidio/supported_entities/; the issuer of each number",
)
