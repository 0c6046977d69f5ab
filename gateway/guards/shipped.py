"""The guards that ship with the gateway."""

from gateway.guards.catalogue import GuardType, known
from gateway.guards.listed import REGEX, REQUIRED, TERMS
from gateway.guards.pii.guard import PII
from gateway.guards.secrets.guard import SECRETS
from gateway.guards.whole_texts import WHOLE_TEXTS

CATALOGUE: dict[str, GuardType] = known((REGEX, TERMS, REQUIRED, PII, SECRETS, *WHOLE_TEXTS))
"""By name; plug-ins add theirs at start."""
