"""Owners of files and batches at providers."""

from gateway.storage.postgres.migrate import run_file

revision = "0004_upstream_objects"
down_revision = "0003_stored_responses"


def upgrade() -> None:
    run_file("0004_upstream_objects.sql")
