"""The guards that ship with the gateway."""

from gateway.guards.catalogue import GuardType, known
from gateway.guards.listed import REGEX, REQUIRED, TERMS
from gateway.guards.remote.types import REMOTE

CATALOGUE: dict[str, GuardType] = known((REGEX, TERMS, REQUIRED, *REMOTE))
"""By name; plug-ins add theirs at start."""
