"""What is billed by the piece, and which stored key of a provider account a call went out with."""

from gateway.storage.postgres.migrate import run_file

revision = "0015_pieces_and_credentials"
down_revision = "0014_audio_by_length"


def upgrade() -> None:
    run_file("0015_pieces_and_credentials.sql")
