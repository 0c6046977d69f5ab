"""What limits knew of a call: its route, and the shadow rules that would have refused it."""

from gateway.storage.postgres.migrate import run_file

revision = "0013_spending"
down_revision = "0012_credentials"


def upgrade() -> None:
    run_file("0013_spending.sql")
