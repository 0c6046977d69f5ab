"""The guard type ``secrets``."""

from gateway.guards.catalogue import GuardType
from gateway.guards.secrets.kinds import FORMS
from gateway.guards.tables import TableOptions, maker

SECRETS = GuardType(
    "secrets",
    TableOptions,
    maker(FORMS),
    "Finds credentials: keys and tokens by their issuer's form, private keys, passwords in addresses and assignments.",
    "gitleaks, https://github.com/gitleaks/gitleaks; detect-secrets, https://github.com/Yelp/detect-secrets",
)
