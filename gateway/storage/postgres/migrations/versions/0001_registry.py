"""Applications, keys, prompts, versions, aliases, history, audit, workers."""

from gateway.storage.postgres.migrate import run_file

revision = "0001_registry"
down_revision = None


def upgrade() -> None:
    run_file("0001_registry.sql")
