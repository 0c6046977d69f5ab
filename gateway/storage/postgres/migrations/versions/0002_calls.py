"""The ledger of calls."""

from gateway.storage.postgres.migrate import run_file

revision = "0002_calls"
down_revision = "0001_registry"


def upgrade() -> None:
    run_file("0002_calls.sql")
