"""Sums of the ledger by hours and days."""

from gateway.storage.postgres.migrate import run_file

revision = "0017_sums"
down_revision = "0016_call_traces"


def upgrade() -> None:
    run_file("0017_sums.sql")
