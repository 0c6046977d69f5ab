"""What vendors bill beside plain tokens, and prices anew for stored calls."""

from gateway.storage.postgres.migrate import run_file

revision = "0005_usage_columns"
down_revision = "0004_upstream_objects"


def upgrade() -> None:
    run_file("0005_usage_columns.sql")
