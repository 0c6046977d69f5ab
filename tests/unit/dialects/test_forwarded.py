"""Bodies of forwarded calls: what is read of them, and the model exchanged in them."""

import msgspec
import pytest

from gateway.core.errors import MALFORMED, UNSUPPORTED, GatewayError
from gateway.core.events import Usage
from gateway.core.requests import Inbound
from gateway.dialects.forwarded import MAX_INPUTS, Body, read_forwarded

FORM = "multipart/form-data; boundary=b"


def read(body: object, content_type: str | None = "application/json", door: str = "images", **headers: str) -> Body:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    if content_type is not None:
        given[b"content-type"] = content_type.encode()
    return read_forwarded(Inbound(door, given, data, "call", "req", 0, 0.0, 1.0))


def refused(body: object, content_type: str = "application/json", door: str = "images") -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(body, content_type, door)
    return caught.value


def form(**fields: str) -> bytes:
    parts = [f'--b\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()]
    file = '--b\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n\r\nmodel\r\n'
    return "".join([*parts, file, "--b--\r\n"]).encode()


def test_json_keeps_the_bytes_of_its_fields() -> None:
    body = read(b'{"x": 1.0, "model":"a", "stream": true,"user":"u"}', x_session_id="s", x_tags="t")
    request = body.request
    assert (request.model, request.stream, request.user, request.session, request.tags) == ("a", True, "u", "s", ("t",))
    assert body.asking("b") == b'{"x":1.0,"model":"b","stream":true,"user":"u"}'
    assert body.content_type == b"application/json"


def test_a_field_that_comes_twice_goes_on_once() -> None:
    body = read(b'{"model":"cheap","model":"dear"}')
    assert body.request.model == "dear"
    assert body.asking("dear") == b'{"model":"dear"}'


def test_no_model_stays_no_model() -> None:
    for given in (b'{"a":1}', b'{"a":1,"model":null}'):
        body = read(given)
        assert body.request.model == ""
        assert body.asking("") == given
        assert msgspec.json.decode(body.asking("m"))["model"] == "m"


def test_no_body_at_all() -> None:
    body = read(b"", None)
    assert (body.asking(""), body.content_type, body.request.model) == (b"", b"", "")


def test_a_form_is_the_same_but_for_the_model() -> None:
    given = form(model="whisper-1", stream="true", user="u")
    body = read(given, FORM)
    assert (body.request.model, body.request.stream, body.request.user) == ("whisper-1", True, "u")
    assert body.asking("whisper-1") == given
    assert body.asking("local/w") == form(model="local/w", stream="true", user="u")
    assert body.content_type == FORM.encode()
    assert not read(form(stream="false"), FORM).request.stream
    assert read(form(), FORM).asking("m") == form(), "no field is added"


def test_a_batch_names_its_file() -> None:
    assert read({"input_file_id": "file-1"}).input_file_id == "file-1"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"])
def test_other_types_are_refused(content_type: str) -> None:
    assert refused(b"a=1", content_type).kind is UNSUPPORTED


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"\xff", None),
        ({"model": 1}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"model": "a\0"}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"input_file_id": 5}, "input_file_id"),
    ],
)
def test_json_that_is_refused(body: object, param: str | None) -> None:
    error = refused(body)
    assert (error.kind, error.param) == (MALFORMED, param)


@pytest.mark.parametrize("body", [b"", b"x", form(model="m" * 300), form().replace(b"--b--", b"")])
def test_forms_that_are_refused(body: bytes) -> None:
    assert refused(body, FORM).kind is MALFORMED


def test_a_model_that_is_no_text() -> None:
    assert refused(form(model="m").replace(b"\r\nm\r\n", b"\r\n\xff\r\n"), FORM).kind is MALFORMED


@pytest.mark.parametrize(
    "given",
    ["a", ["a"] * MAX_INPUTS, list(range(MAX_INPUTS * 2)), [[1, 2, 3]] * (MAX_INPUTS // 2), ["a,b,c"] * 1500, []],
)
def test_embeddings_within_bounds(given: object) -> None:
    body = read({"model": "m", "input": given}, door="embeddings")
    assert body.weight == len(msgspec.json.encode(given))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "a"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": None}, "input"),
        ({"model": "m", "input": ["a"] * (MAX_INPUTS + 1)}, "input"),
        ({"model": "m", "input": [[1]] * (MAX_INPUTS + 1)}, "input"),
    ],
)
def test_embeddings_out_of_bounds(body: object, param: str) -> None:
    error = refused(body, door="embeddings")
    assert (error.kind, error.param) == (MALFORMED, param)


@pytest.mark.parametrize(
    ("fields", "picture"),
    [
        ({}, "- -"),
        ({"size": None, "quality": "auto"}, "- -"),
        ({"size": "1024x1792", "quality": "HD"}, "1024x1792 hd"),
        ({"size": "1024 x 1792"}, "? -"),
        ({"size": "9" * 40, "quality": "a b"}, "? ?"),
        ({"quality": "gr\u00f6sse"}, "- ?"),
    ],
)
def test_what_is_asked_of_pictures_is_read_from_json_and_forms(fields: dict[str, str | None], picture: str) -> None:
    assert read({"model": "m", **fields}).pieces.picture == picture
    texts = {name: text for name, text in fields.items() if text is not None}
    assert read(form(model="m", **texts), FORM).pieces.picture == picture
    assert read({"model": "m", **fields}, door="moderations").pieces == Usage(0, 0)


def test_the_number_of_pictures_is_bounded() -> None:
    for body, content_type in (({"model": "m", "n": 3}, "application/json"), (form(model="m", n="3"), FORM)):
        assert read(body, content_type).pieces.images == 3
    assert [read(body).pieces.images for body in ({"n": None}, {})] == [1, 1]
    for wrong in (11, 10**30, -1, 1.5, "2"):
        assert "n" in refused({"model": "m", "n": wrong}).detail
    for wrong in ("11", "9" * 40, "-1", "1.5", "\u0663"):
        assert refused(form(model="m", n=wrong), FORM).param == "n"
    assert read({"model": "m", "n": 11}, door="moderations").pieces == Usage(0, 0)


def test_the_characters_of_a_text_to_read_aloud_are_counted() -> None:
    spoken = read({"model": "tts-1", "input": "Gr\u00fc\u00dfe \U0001f44b"}, door="audio")
    assert (spoken.pieces.characters, spoken.weight) == (7, 7)
    assert read({"model": "tts-1"}, door="audio").pieces.characters == 0
    assert read({"model": "tts-1", "input": "hello"}, door="moderations").pieces.characters == 0
    assert read(form(model="whisper-1", input="x"), FORM, door="audio").pieces.characters == 0


@pytest.mark.parametrize(("door", "name"), [("audio", "input"), ("images", "size"), ("images", "quality")])
def test_what_is_billed_must_be_a_text(door: str, name: str) -> None:
    error = refused({"model": "m", name: ["x"]}, door=door)
    assert error.kind is MALFORMED
    assert name in error.detail
