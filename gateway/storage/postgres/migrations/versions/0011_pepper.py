"""Digests of API keys with a pepper."""

from gateway.storage.postgres.migrate import run_file

revision = "0011_pepper"
down_revision = "0009_guards"


def upgrade() -> None:
    run_file("0011_pepper.sql")
