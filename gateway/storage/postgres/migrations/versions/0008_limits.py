"""Limit rules."""

from gateway.storage.postgres.migrate import run_file

revision = "0008_limits"
down_revision = "0007_key_scopes"


def upgrade() -> None:
    run_file("0008_limits.sql")
