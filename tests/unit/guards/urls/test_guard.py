"""The guard `urls`: what is refused, and as what."""

import pytest

from gateway.core.errors import GatewayError
from gateway.guards.detector import Finding
from tests.corpus.measure import detector_of


def found(text: str, **options: object) -> list[tuple[str, str]]:
    return [(f.what, text[f.start : f.end]) for f in detector_of("urls", options).find(text)]


def test_without_lists_only_what_is_odd_is_found():
    assert found("https://any.example/x") == []
    assert found("see http://10.0.0.1/x.") == [("ip_host", "http://10.0.0.1/x")]
    assert found("https://bank.example@evil.example") == [("user", "https://bank.example@evil.example")]
    assert found("app://x/y") == [("scheme", "app://x/y")]


def test_what_is_denied_goes_before_what_is_allowed():
    lists = {"allow_hosts": ["example.com"], "deny_hosts": ["bad.example.com"]}
    assert found("https://good.example.com/ https://bad.example.com/ https://x.example/", **lists) == [
        ("denied_host", "https://bad.example.com/"),
        ("other_host", "https://x.example/"),
    ]


def test_marks_around_an_address_are_no_part_of_it():
    for text in ("(http://10.0.0.1)", "<http://10.0.0.1>", "**http://10.0.0.1**", '"http://10.0.0.1"', "http://10.0.0.1, or"):
        assert found(text) == [("ip_host", "http://10.0.0.1")]


def test_an_address_within_an_address_is_judged_too():
    assert found("https://ok.example/?to=https://evil.example/x", allow_hosts=["ok.example"]) == [
        ("other_host", "https://evil.example/x")
    ]


def test_where_to_begin():
    detector = detector_of("urls", {})
    text = "http://10.0.0.1/ http://10.0.0.2/"
    assert detector.find_from(text, 1) == [Finding(17, 33, "ip_host")]  # type: ignore[attr-defined]
    assert detector.hold("see http://10.0") == 11
    assert detector.hold("see http://10.0.0.1 and") == len("and")
    assert detector.hold("see http://10.0.0.1, ") == 0


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"allow_hosts": ["a b"]}, "urls.options.allow_hosts[0]"),
        ({"deny_hosts": ["x/y"]}, "urls.options.deny_hosts[0]"),
        ({"schemes": []}, "urls.options.schemes"),
        ({"ports": [0]}, "urls.options.ports[0]"),
        ({"hosts": []}, "urls.options"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], param: str):
    with pytest.raises(GatewayError) as caught:
        detector_of("urls", options)
    assert caught.value.param == param
