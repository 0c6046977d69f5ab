"""Responses kept for the Responses API."""

from gateway.storage.postgres.migrate import run_file

revision = "0003_stored_responses"
down_revision = "0002_calls"


def upgrade() -> None:
    run_file("0003_stored_responses.sql")
