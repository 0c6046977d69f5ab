"""API key texts: form, checksum, digest."""

import hashlib
import hmac
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import keys


def fixed(byte: int):
    return lambda count: bytes([byte]) * count


def test_a_made_key_has_the_published_form():
    key = keys.make(secrets.token_bytes)
    prefix, public_id, secret, checksum = key.text.split("_")
    assert (prefix, len(public_id), len(secret), len(checksum)) == ("pg", 12, 33, 6)
    assert len(key.text) == keys.KEY_CHARS
    assert public_id == key.public_id
    assert keys.well_formed(key.text)
    assert keys.public_part(key.text) == key.public_id


def test_the_digest_is_sha256_of_the_whole_text():
    key = keys.make(fixed(7))
    assert key.digest == hashlib.sha256(key.text.encode()).hexdigest()
    assert keys.digest(key.text.encode()) == keys.digest(key.text) == key.digest


def test_the_same_bytes_make_the_same_key_and_others_another():
    assert keys.make(fixed(1)) == keys.make(fixed(1))
    assert keys.make(fixed(1)).text != keys.make(fixed(2)).text


@pytest.mark.parametrize("byte", [0, 0xFF])
def test_extreme_random_bytes_still_fit(byte: int):
    assert keys.well_formed(keys.make(fixed(byte)).text)


@given(st.binary(min_size=33, max_size=33), st.integers(0, keys.KEY_CHARS - 1), st.characters(codec="ascii"))
def test_any_single_changed_character_is_noticed(noise: bytes, at: int, other: str):
    stream = iter(noise)
    text = keys.make(lambda count: bytes(next(stream) for _ in range(count))).text
    assert keys.well_formed(text)
    changed = text[:at] + other + text[at + 1 :]
    assert keys.well_formed(changed) == (changed == text)


@given(st.text(max_size=80))
def test_any_text_has_a_digest_and_no_foreign_text_is_a_key(text: str):
    assert len(keys.digest(text)) == 64
    assert not keys.well_formed(text)


@pytest.mark.parametrize("text", ["", "pg_", "sk-proj-abc", "pg_a_b_c", "pg_" + "_" * 53, "é" * keys.KEY_CHARS])
def test_look_alikes_are_refused(text: str):
    assert not keys.well_formed(text)
    assert keys.public_part(text) is None


OLD, NEW = b"o" * 32, b"n" * 32


def test_a_pepper_makes_another_digest_of_the_same_key() -> None:
    plain, old, new = (keys.make(fixed(7), peppers) for peppers in (keys.PLAIN, keys.Peppers(OLD), keys.Peppers(NEW)))
    assert plain.text == old.text == new.text
    assert len({plain.digest, old.digest, new.digest}) == 3
    assert old.digest == hmac.new(OLD, old.text.encode(), "sha256").hexdigest()
    assert plain.pepper is None
    assert old.pepper != new.pepper
    assert {len(made.pepper or "") for made in (old, new)} == {keys.MARK_CHARS}


def test_a_key_is_looked_for_under_every_pepper_and_without_the_likeliest_first() -> None:
    key = keys.make(fixed(7)).text.encode()
    plain, old, new = keys.digest(key), keys.peppered(OLD, key), keys.peppered(NEW, key)
    assert keys.PLAIN.digests(key) == (plain,)
    assert keys.Peppers(NEW).digests(key) == (new, plain)
    assert keys.Peppers(NEW, OLD).digests(key) == (new, old, plain)
    assert keys.Peppers(NEW, OLD, alone=True).digests(key) == (new, old)
    assert keys.Peppers(previous=OLD).digests(key) == (old, plain)
    assert keys.Peppers(previous=OLD).digest(key) == plain
    assert keys.Peppers(NEW, OLD).previous_mark == keys.Peppers(OLD).mark
