"""``multipart/form-data`` (RFC 7578), as far as the gateway acts on it: where the values of some text fields lie in the body.

A reader that is more generous than the provider's would let a caller show us one model and the provider another, so whatever two
parsers could read differently is refused: text before the first boundary, a boundary with a tail, a wanted field that comes twice.
All searching is ``bytes.find``: linear in the body, whatever it holds.
"""

import re
from collections.abc import Collection

MAX_PARTS = 64
"""The largest forms of the API have some twenty: sixteen images and their options."""
MAX_PART_HEAD = 8 * 1024
"""Bytes of one part's header lines; real ones take two hundred."""

_TYPE = re.compile(r"multipart/form-data((?:;[^;\"]*(?:\"[^\"]*\")?)*)", re.IGNORECASE)
_PARAMETER = re.compile(r';[ \t]*([A-Za-z0-9!#$%&\'+.^_`|~*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))[ \t]*')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
"""RFC 2046 section 5.1.1: 1 to 70 characters, not ending with a space."""


class MultipartError(ValueError):
    """The body is no form as we accept it; the text says why."""


def text_fields(content_type: str, body: bytes, wanted: Collection[str], file: str | None = None) -> dict[str, slice]:
    """Where the values of the ``wanted`` fields are in ``body``, by name; fields that are not there are left out.

    ``file``: a field whose place is told too if it is one file, or the first of several. Raises :class:`MultipartError`.
    """
    mark = b"--" + _boundary(content_type)
    found: dict[str, slice] = {}
    if not body.startswith(mark):
        raise MultipartError("the body does not begin with its boundary")
    position, delimiter = len(mark), b"\r\n" + mark
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", position):
            return found
        if not body.startswith(b"\r\n", position):
            raise MultipartError("a boundary is followed by something else than a line end")
        head_end = body.find(b"\r\n\r\n", position, position + MAX_PART_HEAD)
        if head_end < 0:
            raise MultipartError(f"the headers of a part do not end within {MAX_PART_HEAD} bytes")
        value = head_end + 4
        end = body.find(delimiter, value)
        if end < 0:
            raise MultipartError("the last boundary is missing")
        name, is_file = _disposition(body[position:head_end])
        if name in wanted:
            if is_file or name in found:
                raise MultipartError(f"{name}: must be one text field")
            found[name] = slice(value, end)
        elif is_file and name == file:
            found.setdefault(name, slice(value, end))
        position = end + len(delimiter)
    raise MultipartError(f"more than {MAX_PARTS} parts")


def parts(content_type: str, body: bytes) -> list[bytes]:
    """What lies between the boundaries, head and all: the same for the same form, whatever its boundary. Raises as above."""
    return body.split(b"--" + _boundary(content_type))


def _boundary(content_type: str) -> bytes:
    match = _TYPE.fullmatch(content_type)
    named = [] if match is None else [value for name, value in _parameters(match[1]) if name == "boundary"]
    if len(named) != 1 or _BOUNDARY.fullmatch(named[0]) is None:
        raise MultipartError("content-type: wants multipart/form-data with one boundary")
    return named[0].encode()


def _disposition(head: bytes) -> tuple[str, bool]:
    """The name of a part, and whether it is a file."""
    lines = [line.partition(b":") for line in head.split(b"\r\n") if line]
    values = [value for name, _, value in lines if name.strip().lower() == b"content-disposition"]
    if len(values) != 1:
        raise MultipartError("a part has no content-disposition, or two")
    kind, _, rest = values[0].decode("utf-8", "replace").strip().partition(";")
    parameters = _parameters(";" + rest) if rest else []
    names = [value for name, value in parameters if name == "name"]
    if kind.strip().lower() != "form-data" or len(names) != 1:
        raise MultipartError("a part has no name, or two")
    return names[0], any(name.startswith("filename") for name, _ in parameters)


def _parameters(text: str) -> list[tuple[str, str]]:
    """``; name=value`` pairs, names in lower case."""
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match[1].lower() == "name*":
            raise MultipartError("a header's parameters cannot be read")
        quoted = match[2]
        pairs.append((match[1].lower(), match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)))
        position = match.end()
    return pairs
