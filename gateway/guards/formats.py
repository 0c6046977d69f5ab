"""The guard ``format``: an answer, or one field of a JSON answer, must be a date, a number, an e-mail address and the like.

Formats that JSON Schema names (draft 2020-12, Validation 7.3) are checked by its validator, as in variable contracts: dates and times
of RFC 3339, e-mail addresses of RFC 5321, hosts of RFC 1123, addresses of RFC 2673 and 4291, URIs of RFC 3986, UUIDs of RFC 9562.
"""

import re
from collections.abc import Callable
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct

from gateway.guards.fence import unfenced
from gateway.guards.pii.contacts import phone_international
from gateway.guards.urls.address import parse
from gateway.guards.whole import WholeText
from gateway.wire.openai import DECODE_ERRORS
from gateway.wire.schema import compiled

MAX_VALUE = 8_192
"""Characters of a value of any format: what servers take as an address, the longest of them."""

Format = Literal[
    "date",
    "time",
    "date-time",
    "duration",
    "number",
    "integer",
    "boolean",
    "email",
    "url",
    "uri",
    "uuid",
    "phone",
    "hostname",
    "ipv4",
    "ipv6",
]
_SCHEMA = ("date", "time", "date-time", "duration", "uri", "uuid", "hostname", "ipv4", "ipv6")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*+)")
_BRACKETS = re.compile(r"[\s<>]")
_PHONE = re.compile(r"\+[0-9][0-9 ().-]{5,28}[0-9]")

_MISSING = object()


class FormatOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``format`` may be told."""

    format: Format
    field: Annotated[str, Meta(pattern="^(/[^\x00]*)?$", max_length=500)] = ""
    """The field of a JSON answer, as a JSON Pointer (RFC 6901: ``/contact/email``).

    Empty: the whole answer, white space around it left aside."""
    optional: bool = False
    """Whether the field may be missing or null."""
    allow_fence: bool = False
    """Whether the JSON may stand in a Markdown code block."""


def _of_schema(name: str) -> Callable[[str], bool]:
    return compiled({"type": "string", "format": name}, "format").is_valid


def _url(text: str) -> bool:
    # The reader of addresses forgives what browsers forgive: white space, and a missing scheme before ``www``.
    address = parse(text) if text[:4].lower() == "http" and not _BRACKETS.search(text) else None
    return address is not None and address.scheme in {"http", "https"} and bool(address.host)


_email = _of_schema("email")


def _phone(text: str) -> bool:
    return _PHONE.fullmatch(text) is not None and phone_international(text)


_TEXTS: dict[str, Callable[[str], bool]] = {
    **{name: _of_schema(name) for name in _SCHEMA},
    "number": lambda text: _NUMBER.fullmatch(text) is not None,
    "integer": lambda text: _INTEGER.fullmatch(text) is not None,
    "boolean": lambda text: text in {"true", "false"},
    # RFC 5322 would have a name before an address in angle brackets.
    "email": lambda text: not _BRACKETS.search(text) and _email(text),
    "url": _url,
    "phone": _phone,
}
_VALUES: dict[str, tuple[type, ...]] = {"number": (int, float), "integer": (int,), "boolean": (bool,)}
"""Formats that are values of their own in JSON, where a text is none of them."""


class FormatGuard(WholeText):
    """Checks a value."""

    __slots__ = ("_options", "_path", "_wrong")

    def __init__(self, options: FormatOptions) -> None:
        self._options = options
        self._path = [part.replace("~1", "/").replace("~0", "~") for part in options.field.split("/")[1:]]
        self._wrong = f"wrong_format: {options.format}"

    def judge(self, text: str) -> str | None:
        """``wrong_format: <format>``; of a field also ``not_json`` and ``missing_field``."""
        if not self._path:
            return None if self._is_text(text.strip()) else self._wrong
        if self._options.allow_fence:
            text = unfenced(text, "json")
        try:
            value = _at(msgspec.json.decode(text.encode()), self._path)
        except (*DECODE_ERRORS, UnicodeEncodeError, RecursionError):
            return "not_json"
        if value is _MISSING or value is None:
            return None if self._options.optional else "missing_field"
        kinds = _VALUES.get(self._options.format)
        if kinds is not None:
            fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        else:
            fits = isinstance(value, str) and self._is_text(value)
        return None if fits else self._wrong

    def _is_text(self, text: str) -> bool:
        if len(text) > MAX_VALUE:
            return False
        try:
            return _TEXTS[self._options.format](text)
        except UnicodeEncodeError:  # a lone surrogate
            return False


def _at(value: object, path: list[str]) -> object:
    """What a JSON Pointer points at (RFC 6901, 4)."""
    for part in path:
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get(part, _MISSING)
        elif isinstance(value, list) and _INTEGER.fullmatch(part) and len(part) < 10:
            items = cast("list[object]", value)
            value = items[int(part)] if 0 <= int(part) < len(items) else _MISSING
        else:
            return _MISSING
    return value


def make_format(options: FormatOptions, _param: str) -> FormatGuard:
    """The guard."""
    return FormatGuard(options)
