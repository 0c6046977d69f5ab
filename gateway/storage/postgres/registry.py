"""The writable side of the registry, whole."""

from gateway.storage.postgres.aliases import Aliases
from gateway.storage.postgres.applications import Applications
from gateway.storage.postgres.credentials import Credentials
from gateway.storage.postgres.guardrails import ApplicationGuardrails
from gateway.storage.postgres.keys import Keys
from gateway.storage.postgres.limits import LimitRules
from gateway.storage.postgres.prompts import Prompts
from gateway.storage.postgres.routes import ApplicationRoutes
from gateway.storage.postgres.splits import Splits
from gateway.storage.postgres.versions import Versions
from gateway.storage.postgres.workers import Audit, Workers


class Registry(
    Applications,
    ApplicationGuardrails,
    ApplicationRoutes,
    Credentials,
    Keys,
    LimitRules,
    Prompts,
    Versions,
    Aliases,
    Splits,
    Workers,
    Audit,
):
    """Every method is one transaction.

    ``ids`` makes UUIDv7 texts, ``clock`` tells aware UTC datetimes; a worker is live for ``live_s`` seconds after a report.

    ``application`` and ``prompt`` are slugs or ids; ``actor`` says who, for history and audit. Raises GatewayError, each with
    its ``param``: ``not_found`` (application, key, version, alias), ``unknown_prompt``, ``conflict``, ``malformed``; and
    ``store_unavailable`` when Postgres cannot be asked.
    """
