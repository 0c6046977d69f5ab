"""The guards that ship with the gateway."""

from gateway.guards.catalogue import GuardType, known
from gateway.guards.exfiltration import EXFILTRATION
from gateway.guards.invisible import INVISIBLE
from gateway.guards.listed import COMPETITORS, REGEX, REQUIRED, TERMS
from gateway.guards.pii.guard import PII
from gateway.guards.remote.types import REMOTE
from gateway.guards.secrets.guard import SECRETS
from gateway.guards.urls.guard import URLS
from gateway.guards.whole_texts import WHOLE_TEXTS

CATALOGUE: dict[str, GuardType] = known(
    (REGEX, TERMS, COMPETITORS, REQUIRED, PII, SECRETS, INVISIBLE, URLS, EXFILTRATION, *WHOLE_TEXTS, *REMOTE)
)
"""By name; plug-ins add theirs at start."""
