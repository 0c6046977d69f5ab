import base64
import itertools
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.credentials import CredentialError, SealedCredential
from gateway.storage.vault import Vault, keys_of

OLD, NEW = bytes([1]) * 32, bytes([2]) * 32


def vault(*keys: bytes) -> Vault:
    return Vault(keys, secrets.token_bytes)


@given(secret=st.text(max_size=300))
@settings(max_examples=30)
def test_what_was_sealed_opens_and_shows_nothing(secret: str) -> None:
    sealed = vault(OLD).seal("id", "app", "openai", secret)
    assert vault(OLD).open(sealed) == secret
    assert len(secret) < 4 or secret.encode() not in sealed.ciphertext + sealed.wrapped_key


def test_equal_secrets_are_sealed_differently() -> None:
    one, two = (vault(OLD).seal("id", "app", "openai", "secret") for _ in range(2))
    assert one.ciphertext != two.ciphertext
    assert one.wrapped_key != two.wrapped_key


@pytest.mark.parametrize("change", [{"id": "other"}, {"owner": "neighbour"}, {"provider": "anthropic"}])
def test_a_row_in_another_place_does_not_open(change: dict[str, str]) -> None:
    sealed = vault(OLD).seal("id", "app", "openai", "secret")
    with pytest.raises(CredentialError, match="altered, or belongs to another row"):
        vault(OLD).open(structs.replace(sealed, **change))


def test_halves_of_two_rows_do_not_open_together() -> None:
    mine, yours = (vault(OLD).seal(name, "app", "openai", "secret") for name in ("a", "b"))
    with pytest.raises(CredentialError):
        vault(OLD).open(structs.replace(mine, ciphertext=yours.ciphertext))
    with pytest.raises(CredentialError):
        vault(OLD).open(structs.replace(mine, wrapped_key=yours.wrapped_key, ciphertext=yours.ciphertext))


@given(data=st.data())
@settings(max_examples=60)
def test_no_altered_byte_passes(data: st.DataObject) -> None:
    sealed = vault(OLD).seal("id", "app", "openai", "secret")
    field = data.draw(st.sampled_from(["wrapped_key", "ciphertext"]))
    value: bytes = getattr(sealed, field)
    at = data.draw(st.integers(0, len(value) - 1))
    flipped = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    for wrong in (flipped, value[:at]):
        with pytest.raises(CredentialError):
            vault(OLD).open(structs.replace(sealed, **{field: wrong}))


def test_a_new_key_opens_what_an_old_one_sealed_once_it_is_rewrapped() -> None:
    sealed = vault(OLD).seal("id", "app", "openai", "secret")
    both, new = vault(NEW, OLD), vault(NEW)
    assert both.open(sealed) == "secret"
    with pytest.raises(CredentialError, match=f"the key {sealed.key_id}, which security.credentials_key does not hold"):
        new.open(sealed)
    moved = both.rewrap(sealed)
    assert (moved.ciphertext, moved.key_id) == (sealed.ciphertext, new.key_id), "the secret itself is not touched"
    assert new.open(moved) == "secret"
    assert new.rewrap(moved) is moved
    with pytest.raises(CredentialError):
        new.rewrap(sealed)


def test_a_key_id_that_lies_does_not_help() -> None:
    sealed = vault(OLD).seal("id", "app", "openai", "secret")
    with pytest.raises(CredentialError, match="data key"):
        vault(NEW, OLD).open(structs.replace(sealed, key_id=vault(NEW).key_id))


def test_without_a_key_nothing_is_sealed_or_opened() -> None:
    none = vault()
    assert none.key_id is None
    with pytest.raises(CredentialError, match="credentials_key is not set"):
        none.seal("id", "app", "openai", "secret")
    with pytest.raises(CredentialError, match="credentials_key is not set"):
        none.open(SealedCredential("id", "app", "openai", "x", b"", b""))


def test_keys_are_hexadecimal_or_base64() -> None:
    key = bytes(range(224, 256))
    spellings = [key.hex(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")]
    assert keys_of(",".join(spellings)) == [key] * 3
    assert keys_of("") == []
    for text in ("A" * 42, "B" * 45, "é" * 43):
        with pytest.raises(ValueError):
            keys_of(text)


def test_nonces_are_drawn_anew_for_each_encryption() -> None:
    count = itertools.count(1)
    drawn: list[bytes] = []

    def draw(length: int) -> bytes:
        drawn.append(next(count).to_bytes(length, "big"))
        return drawn[-1]

    sealed = Vault([OLD], draw).seal("id", "app", "openai", "secret")
    assert [len(each) for each in drawn] == [32, 12, 12]
    assert {sealed.ciphertext[:12], sealed.wrapped_key[:12]} == set(drawn[1:])
