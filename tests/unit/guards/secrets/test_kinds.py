"""The guard `secrets`: what is found of an assignment, and that every kind has an example."""

from gateway.guards.secrets.kinds import FORMS
from gateway.guards.tables import kinds_of
from tests.corpus.measure import detector_of, load


def found(text: str, **options: object) -> list[tuple[str, str]]:
    guard = detector_of("secrets", options)
    return [(f.what, text[f.start : f.end]) for f in guard.find(text)]


def test_the_value_is_found_and_its_name_stays():
    assert found('api_key = "f83jKd92mQ0"') == [("assignment", "f83jKd92mQ0")]
    assert found("{'token': 'f83jKd92mQ0'}") == [("assignment", "f83jKd92mQ0")]
    assert found("PASSWORD=Sommer2024! psql") == [("password", "Sommer2024!")]
    assert found("password is required") == []


def test_calls_and_subscripts_are_no_values():
    assert found("token = load2token(file)") == []
    assert found("token = environ2['X']") == []


def test_a_private_key_is_found_with_its_end_or_without():
    body = "\n".join(["Ab1+" * 16] * 3)
    begin, end = "-----BEGIN RSA PRIVATE " + "KEY-----\n", "\n-----END RSA PRIVATE " + "KEY-----"
    assert found(f"x {begin}{body}{end} y") == [("private_key", begin + body + end)]
    assert found(f"x {begin}{body}") == [("private_key", begin + body)]
    escaped = (begin + body + end).replace("\n", "\\n")
    assert found(f'"{escaped}"') == [("private_key", escaped)]


def test_chosen_kinds_and_allowed_texts():
    text = "password: Sommer2024! token: f83jKd92mQ0"
    assert found(text, kinds=["assignment"]) == [("assignment", "f83jKd92mQ0")]
    assert found(text, allow=["sommer2024!"]) == [("assignment", "f83jKd92mQ0")]


def test_every_kind_is_found_in_its_own_corpus():
    assert {what for example in load("secrets").examples for what, _ in example.find} == set(kinds_of(FORMS))
