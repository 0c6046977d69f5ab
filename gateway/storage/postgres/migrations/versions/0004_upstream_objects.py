"""Owners of files and batches at providers."""

from gateway.storage.postgres.migrate import run_file

revision = "0004_upstream_objects"
down_revision = "0002_calls"


def upgrade() -> None:
    run_file("0004_upstream_objects.sql")
