"""Forms: found fields, and everything that two readers could read differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.multipart import MAX_PARTS, MultipartError, parts, text_fields

TYPE = 'multipart/form-data; boundary="b1"'


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b1\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b1--\r\n"


def values(body: bytes, content_type: str = TYPE, wanted: tuple[str, ...] = ("model", "stream")) -> dict[str, bytes]:
    return {name: body[where] for name, where in text_fields(content_type, body, wanted).items()}


def test_fields_are_found_between_files() -> None:
    body = form(
        part("file", b"\x00\r\n--b\r\nmodel", '; filename="a \\"model\\"; name=\\"model\\".mp3"\r\nContent-Type: audio/mpeg'),
        part("model", b"whisper-1"),
        part("prompt", b"name=model"),
        part("stream", b""),
    )
    assert values(body) == {"model": b"whisper-1", "stream": b""}
    assert values(body, wanted=("user",)) == {}


def test_the_place_of_a_file_that_is_asked_for() -> None:
    named = '; filename="a.mp3"'
    body = form(part("model", b"m"), part("file", b"one", named), part("file", b"two", named), part("other", b"x", named))
    found = text_fields(TYPE, body, ("model",), "file")
    assert {name: body[where] for name, where in found.items()} == {"model": b"m", "file": b"one"}
    assert text_fields(TYPE, form(part("file", b"a text")), (), "file") == {}


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data; boundary=b1", "Multipart/Form-Data;boundary=b1", 'multipart/form-data; charset=x; boundary="b1"'],
)
def test_content_types(content_type: str) -> None:
    assert values(form(part("model", b"m")), content_type) == {"model": b"m"}


def test_a_file_name_in_the_newer_form() -> None:
    assert values(form(part("file", b"x", "; filename*=utf-8''a"), part("model", b"m"))) == {"model": b"m"}


def test_an_unquoted_name() -> None:
    body = b"--b1\r\ncontent-disposition:form-data;name=model\r\nx-y: z\r\n\r\nm\r\n--b1--"
    assert values(body) == {"model": b"m"}


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=b1; boundary=b2",
        "multipart/form-data; boundary=b\u00e9",
        'multipart/form-data; boundary="b1 "',
        'multipart/form-data; boundary="' + "b" * 71 + '"',
        "multipart/mixed; boundary=b1",
        "multipart/form-data, boundary=b1",
        "application/json",
    ],
)
def test_a_content_type_that_is_refused(content_type: str) -> None:
    with pytest.raises(MultipartError, match=r"content-type|parameters"):
        text_fields(content_type, form(part("model", b"m")), ("model",))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b1",
        b"--b2--",
        b"preamble\r\n" + form(part("model", b"m")),
        part("model", b"m"),
        b"--b1x\r\n",
        form(part("a", b"\r\n--b1x")),
        b"--b1\r\n\r\n\r\n--b1--",
        b"--b1\r\nno headers end",
        b"--b1\r\n" + b"x: " + b"y" * 9000 + b"\r\n\r\n\r\n--b1--",
        b"--b1\r\ncontent-disposition: form-data\r\n\r\nm\r\n--b1--",
        b'--b1\r\ncontent-disposition: attachment; name="model"\r\n\r\nm\r\n--b1--',
        b'--b1\r\ncontent-disposition: form-data; name="model"; name="x"\r\n\r\nm\r\n--b1--',
        b"--b1\r\ncontent-disposition: form-data; name*=utf-8''model\r\n\r\nm\r\n--b1--",
        b'--b1\r\ncontent-disposition: form-data; name="model\r\n\r\nm\r\n--b1--',
        b'--b1\r\ncontent-disposition: form-data; name="a"\r\ncontent-disposition: form-data; name="b"\r\n\r\nm\r\n--b1--',
        form(part("model", b"m"), part("model", b"n")),
        form(part("model", b"m", '; filename="x"')),
        form(*[part("a", b"") for _ in range(MAX_PARTS + 1)]),
    ],
)
def test_a_body_that_is_refused(body: bytes) -> None:
    with pytest.raises(MultipartError):
        text_fields(TYPE, body, ("model",))


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(head: bytes, value: bytes) -> None:
    body = b'--b1\r\nContent-Disposition: form-data; name="model"' + head + b"\r\n\r\n" + value + b"\r\n--b1--\r\n"
    try:
        found = text_fields(TYPE, body, ("model",))
    except MultipartError:
        return
    for where in found.values():
        assert body[where] in body


def test_the_parts_of_a_form_do_not_depend_on_its_boundary() -> None:
    body = form(part("model", b"whisper-1"), part("prompt", b"a"))
    assert parts(TYPE, body) == parts("multipart/form-data; boundary=other", body.replace(b"--b1", b"--other"))
    assert parts(TYPE, body) != parts(TYPE, form(part("model", b"whisper-1"), part("prompt", b"b")))
    with pytest.raises(MultipartError):
        parts("multipart/form-data", body)
