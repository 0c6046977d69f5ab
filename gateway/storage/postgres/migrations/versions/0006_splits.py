"""Splits behind aliases."""

from gateway.storage.postgres.migrate import run_file

revision = "0006_splits"
down_revision = "0005_usage_columns"


def upgrade() -> None:
    run_file("0006_splits.sql")
