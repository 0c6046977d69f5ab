"""Sound that is billed by its length."""

from gateway.storage.postgres.migrate import run_file

revision = "0014_audio_by_length"
down_revision = "0013_spending"


def upgrade() -> None:
    run_file("0014_audio_by_length.sql")
