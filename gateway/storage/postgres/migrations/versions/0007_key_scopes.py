"""Scopes, allow-lists and rotation of API keys."""

from gateway.storage.postgres.migrate import run_file

revision = "0007_key_scopes"
down_revision = "0006_splits"


def upgrade() -> None:
    run_file("0007_key_scopes.sql")
