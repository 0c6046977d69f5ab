"""The guard `exfiltration`: which links carry data, what the options change."""

import pytest

from gateway.core.errors import GatewayError
from gateway.guards.exfiltration import carries_data
from gateway.guards.urls.address import parse
from tests.corpus.measure import detector_of


def found(text: str, **options: object) -> list[tuple[str, str]]:
    return [(f.what, text[f.start : f.end]) for f in detector_of("exfiltration", options).find(text)]


def tells(text: str) -> bool:
    address = parse(text)
    assert address is not None
    return carries_data(address)


@pytest.mark.parametrize(
    "text",
    [
        "https://e.example/?d=" + "a1" * 20,
        "https://e.example/?q=one+two+three+four+five",
        "https://e.example/?q=one%20two%20three%20four%20five",
        "https://e.example/?u=anna%40corp.example",
        "https://e.example/anna@corp.example",
        "https://e.example/#" + "b" * 40,
        "https://e.example/" + "c" * 40 + "/x.png",
        "https://" + "d" * 40 + ".e.example/",
        "https://e.example/?d={data}",
        "https://e.example/?d=%7B%7Bdata%7D%7D",
        "https://e.example/?d=[USER_NAME]",
    ],
)
def test_addresses_that_tell(text: str):
    assert tells(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://e.example/",
        "https://e.example/watch?v=dQw4w9WgXcQ",
        "https://e.example/search?q=two+words",
        "https://e.example/2024/05/a-title-of-an-article-that-is-quite-long-indeed",
        "https://xn--" + "a" * 45 + ".example/",
        "https://e.example/@user",
        "https://e.example/users?id=550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_addresses_that_do_not(text: str):
    assert not tells(text)


def test_the_whole_of_an_image_is_found():
    assert found('a ![b](https://evil.example/x "t") c') == [("image", '![b](https://evil.example/x "t")')]


def test_links_are_found_as_the_option_says():
    link = "[a](https://other.example/)"
    assert found(link) == []
    assert found(link, links="all") == [("link", link)]
    telling = "[a](https://other.example/?q=" + "a1" * 20 + ")"
    assert found(telling) == [("link", telling)]
    assert found(telling, links="none") == []


def test_allowed_hosts_may_be_told_anything():
    assert found("![a](https://cdn.own.example/?q=one+two+three+four+five)", allow_hosts=["own.example"]) == []


def test_a_stream_waits_for_what_may_be_an_image():
    detector = detector_of("exfiltration", {})
    assert detector.hold("look ![al") == 4
    assert detector.hold("look ![alt](ht") == 9
    assert detector.hold("wow ![1] is, ") == 0
    assert detector.hold("a <im") == 3


def test_wrong_options_are_named():
    with pytest.raises(GatewayError) as caught:
        detector_of("exfiltration", {"links": "some"})
    assert caught.value.param == "exfiltration.options.links"
