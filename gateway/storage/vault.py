"""Envelope encryption of provider credentials: AES-256-GCM (NIST SP 800-38D) twice, with nonces drawn at random.

Each secret has a data key of its own, used once. The data key is wrapped with the installation's key (``security.credentials_key``), so
that a new one needs no secret opened: only the wrappings change. Both encryptions authenticate whose credential it is; a row that was
copied to another application, provider or id does not open. Random nonces of 96 bits under one installation's key are safe for 2^32
wrappings (SP 800-38D, 8.3), which nobody reaches.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.core.credentials import CredentialError, SealedCredential

_KEY_BYTES = 32
_NONCE_BYTES = 12
"""What GCM is made for: other lengths are hashed to this one first."""
_PURPOSE = "promptgate provider credential 1"
"""In everything that is authenticated: a ciphertext made for another purpose, or by a later form of this one, does not pass."""


def keys_of(text: str) -> list[bytes]:
    """The keys of a setting: 32 bytes each, as 64 hexadecimal digits or as base64, separated by commas. Raises ``ValueError``."""
    return [_key(part) for part in text.split(",")] if text else []


class Vault:
    """Seals and opens. The first of ``keys`` seals; all of them open, so that a new one can be introduced."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> None:
        self._ciphers = {_id_of(key): AESGCM(key) for key in reversed(keys)}
        self._random = random_bytes
        self.key_id: str | None = _id_of(keys[0]) if keys else None
        """Names the key that seals, without telling it; None: there is none, so nothing can be sealed or opened."""

    def seal(self, name: str, owner: str, provider: str, secret: str) -> SealedCredential:
        """``secret`` sealed under the id ``name``. Raises ``CredentialError`` without a key."""
        data_key = self._random(_KEY_BYTES)
        ciphertext = self._encrypt(AESGCM(data_key), secret.encode(), _context(name, owner, provider))
        key_id, wrapped = self._wrap(data_key, name, owner, provider)
        return SealedCredential(name, owner, provider, key_id, wrapped, ciphertext)

    def open(self, sealed: SealedCredential) -> str:
        """The secret. Raises ``CredentialError``."""
        data_key = self._unwrap(sealed)
        context = _context(sealed.id, sealed.owner, sealed.provider)
        try:
            return _decrypt(AESGCM(data_key), sealed.ciphertext, context).decode()
        except (InvalidTag, ValueError):
            raise CredentialError("the stored secret was altered, or belongs to another row") from None

    def rewrap(self, sealed: SealedCredential) -> SealedCredential:
        """The same under the key that seals now; the same object if it is so already. Raises ``CredentialError``."""
        if sealed.key_id == self.key_id:
            return sealed
        key_id, wrapped = self._wrap(self._unwrap(sealed), sealed.id, sealed.owner, sealed.provider)
        return msgspec.structs.replace(sealed, key_id=key_id, wrapped_key=wrapped)

    def _wrap(self, data_key: bytes, *whose: str) -> tuple[str, bytes]:
        key_id = self.key_id
        if key_id is None:
            raise CredentialError("security.credentials_key is not set")
        return key_id, self._encrypt(self._ciphers[key_id], data_key, _context(*whose, key_id))

    def _unwrap(self, sealed: SealedCredential) -> bytes:
        if self.key_id is None:
            raise CredentialError("security.credentials_key is not set")
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise CredentialError(f"it was sealed with the key {sealed.key_id}, which security.credentials_key does not hold")
        try:
            return _decrypt(cipher, sealed.wrapped_key, _context(sealed.id, sealed.owner, sealed.provider, sealed.key_id))
        except (InvalidTag, ValueError):
            raise CredentialError("the stored data key was altered, or belongs to another row") from None

    def _encrypt(self, cipher: AESGCM, plain: bytes, context: bytes) -> bytes:
        nonce = self._random(_NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plain, context)


def _decrypt(cipher: AESGCM, sealed: bytes, context: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)


def _context(*whose: str) -> bytes:
    # As an array, because plain concatenation would let neighbouring names trade characters.
    return msgspec.json.encode([_PURPOSE, *whose])


def _key(text: str) -> bytes:
    key = bytes.fromhex(text) if len(text) == 2 * _KEY_BYTES else base64.b64decode(f"{text.rstrip('=')}=", altchars=b"-_")
    if len(key) != _KEY_BYTES:
        raise ValueError
    return key


def _id_of(key: bytes) -> str:
    """48 bits of a hash: enough to tell an installation's few keys apart, and nothing of use to who would guess 256."""
    return hashlib.sha256(b"promptgate credentials key" + key).hexdigest()[:12]
