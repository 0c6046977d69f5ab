"""Guardrails of applications, and what guards found in a call."""

from gateway.storage.postgres.migrate import run_file

revision = "0009_guards"
down_revision = "0008_limits"


def upgrade() -> None:
    run_file("0009_guards.sql")
