"""Keys of provider accounts, and routes of applications."""

from gateway.storage.postgres.migrate import run_file

revision = "0012_credentials"
down_revision = "0011_pepper"


def upgrade() -> None:
    run_file("0012_credentials.sql")
