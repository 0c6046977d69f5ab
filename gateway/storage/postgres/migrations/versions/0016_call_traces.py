"""The trace that a call is part of."""

from gateway.storage.postgres.migrate import run_file

revision = "0016_call_traces"
down_revision = "0015_pieces_and_credentials"


def upgrade() -> None:
    run_file("0016_call_traces.sql")
