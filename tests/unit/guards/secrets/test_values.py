"""Whether a value is a secret: entropy, placeholders, tokens that say what they are."""

import base64

import pytest

from gateway.guards.secrets.values import (
    entropy,
    has_key,
    is_assigned_secret,
    is_jwt,
    is_password,
    is_random,
    is_real,
    is_url_password,
)


def test_entropy_is_that_of_shannon():
    assert entropy("") == 0
    assert entropy("aaaa") == 0
    assert entropy("abab") == 1
    assert entropy("abcd") == 2
    assert entropy("0123456789abcdef") == 4


@pytest.mark.parametrize(
    "text", ["your-api-key", "sk_xxxxxxxx", "EXAMPLEKEY12", "${TOKEN}", "{{ key }}", "********", "aaaabbbb"]
)
def test_placeholders_are_not_real(text: str):
    assert not is_real(text)


def test_a_value_in_an_assignment():
    assert is_assigned_secret("f83jKd92mQ0")
    assert is_assigned_secret("IJcMWXKAZkOlNujkkLJtpihoHlQV")
    assert not is_assigned_secret("settings.API_KEY_2")
    assert not is_assigned_secret("/etc/ssl/private/server1.key"[1:])
    assert not is_assigned_secret("1716239022")
    assert not is_assigned_secret("enabledforall")
    assert not is_assigned_secret("aab1aab1")


def test_a_password_has_two_kinds_of_characters():
    assert is_password("Sommer2024!")
    assert is_password("hunter2hunter")
    assert not is_password("required.")
    assert not is_password("letmeinplease")
    assert not is_password("user.password_2")


def test_what_is_random_has_digits_and_entropy():
    assert is_random("wJalrXUtnFEMIK7MDENGbPxRfiCYzq4uV9sT2hLp")
    assert not is_random("thequickbrownfoxjumpsoverthelazydog")
    assert not is_random("a1" * 20)


def test_passwords_in_addresses():
    assert is_url_password("postgres://app:f83jd@db")
    assert not is_url_password("postgres://user:password@db")
    assert not is_url_password("postgres://user:$PASSWORD@db")
    assert not is_url_password("postgres://user:<secret>@db")


def test_a_token_names_its_algorithm():
    def token(header: bytes) -> str:
        return base64.urlsafe_b64encode(header).decode().rstrip("=") + ".eyJ9.c2ln"

    assert is_jwt(token(b'{"alg":"HS256"}'))
    assert not is_jwt(token(b'{"typ":"JWT"}'))
    assert not is_jwt(token(b'["alg"]'))
    assert not is_jwt(token(b"no json"))
    assert not is_jwt("eyJ\u00e4.eyJ9.c2ln")
    assert not is_jwt("eyJ0a.eyJ9.c2ln")


def test_a_frame_without_a_key():
    assert has_key("-----BEGIN-----\n" + "Ab1+" * 8)
    assert not has_key("-----BEGIN----- and then a sentence of many words that goes on for a while")
