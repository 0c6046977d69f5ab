"""Keys of provider accounts as they are stored and travel: sealed. Only a worker's memory has them open."""

from msgspec import Struct

INSTALLATION = "00000000-0000-7000-8000-000000000001"
"""The owner of what belongs to no application; the id of the one workspace there is."""


class SealedCredential(Struct, frozen=True):
    """One key of a provider account, encrypted with a data key of its own, which is encrypted with the installation's key.

    Both are bound to id, owner and provider, so that what is in one row opens in no other.
    """

    id: str
    owner: str
    """The application's id, or :data:`INSTALLATION`."""
    provider: str
    """A name from ``[providers.NAME]``."""
    key_id: str
    """Which of the installation's keys opens it (:attr:`gateway.storage.vault.Vault.key_id`)."""
    wrapped_key: bytes
    """Nonce, encrypted data key, tag."""
    ciphertext: bytes
    """Nonce, encrypted secret, tag."""


class AccountKey(Struct, frozen=True):
    """A key of a provider account, open: it is in a worker's memory, and nowhere else."""

    secret: str
    credential: str | None = None
    """The id of the stored credential it comes from; None: the configuration's."""

    def __repr__(self) -> str:
        return f"AccountKey(credential={self.credential!r})"


class CredentialError(Exception):
    """A credential cannot be opened, or none can be sealed. The text says why, and holds nothing of the secret."""
