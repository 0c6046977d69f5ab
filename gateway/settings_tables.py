"""Tables of settings, read strictly: each value is checked by itself, so that an error names its place and what is accepted.

An error never repeats a value: it may be a secret.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from msgspec.inspect import BoolType, DictType, FloatType, IntType, LiteralType, NoneType, StrType, Type, UnionType, type_info

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000)]
Percent = Annotated[int, Meta(ge=0, le=100)]
PostgresUrl = Annotated[str, Meta(pattern=r"^(postgres(ql)?://\S+)?$")]
_NODE = r"([^\s@/,:\[]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?"
RedisUrl = Annotated[
    str,
    Meta(pattern=rf"^((redis|rediss|unix)://\S+|rediss?\+cluster://([^\s@/]*@)?{_NODE}(,{_NODE})*(\?\S*)?)?$"),
]
Pepper = Annotated[str, Meta(pattern=r"^(\S{32,})?$")]
HeaderText = Annotated[str, Meta(pattern=r"^[\x21-\x7e]*$")]


_LARGEST_SECRET_FILE = 16_384
"""Bytes; keys are shorter than one kilobyte, and a wrong path may lead to anything."""


class SettingsError(Exception):
    """The configuration cannot be used. The text names file or variable, key, and what is accepted."""


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of settings. Its ``repr`` shows no values: logs and tracebacks must not carry secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


_S = TypeVar("_S", bound=Section)


def read_file(file: Path) -> dict[str, Any]:
    """A TOML file as tables; a missing one is empty. Raises :class:`SettingsError`."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
        raise SettingsError(f"{file}: cannot be read: {e}") from None


def read_secret(file: Path, where: str) -> str:
    """The text of a file that holds a secret. Raises :class:`SettingsError` naming ``where``."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_SECRET_FILE + 1)
    except OSError as error:
        raise SettingsError(f"{where}: {file} cannot be read: {error.strerror}") from None
    if len(text) > _LARGEST_SECRET_FILE:
        raise SettingsError(f"{where}: {file} holds no key: it has more than {_LARGEST_SECRET_FILE} bytes")
    return text.decode("ascii", errors="replace").strip()


def build(cls: type[_S], raw: object, where: str) -> _S:
    """A section from a table, each value checked by itself so that a fault names its key."""
    table = as_table(raw, where)
    fields = msgspec.structs.fields(cls)
    refuse_unknown(table, [field.name for field in fields], f"{where}: key")
    for field in fields:
        if field.required and field.name not in table:
            raise SettingsError(f"{where}: {field.name} is missing; expected {_accepted(type_info(field.type))}")
    return cls(**{f.name: as_value(f.type, table[f.name], f"{where} {f.name}") for f in fields if f.name in table})


def overlay(section: _S, prefix: str, given: Mapping[str, str], only: Sequence[str] | None = None) -> _S:
    """``section`` with what the environment says under ``prefix``."""
    changes = {
        field.name: as_value(field.type, given[name], name, strict=False)
        for field in msgspec.structs.fields(type(section))
        if (name := prefix + field.name.upper()) in given and (only is None or field.name in only)
    }
    return msgspec.structs.replace(section, **changes)


def as_table(raw: object, where: str) -> dict[str, Any]:
    """A table. Raises :class:`SettingsError` for anything else."""
    return as_value(dict[str, Any], raw, where)


def as_value(wanted: Any, raw: object, where: str, *, strict: bool = True) -> Any:
    """A value of a type, bounds checked; ``strict`` off for texts of the environment. Raises :class:`SettingsError`."""
    try:
        return msgspec.convert(raw, wanted, strict=strict)
    except msgspec.ValidationError:
        got = "nothing" if raw is None else f"a value of type {type(raw).__name__}"
        raise SettingsError(f"{where}: got {got}, expected {_accepted(type_info(wanted))}") from None


def _accepted(info: Type) -> str:
    """A type in words."""
    match info:
        case BoolType():
            return "true or false"
        case IntType(ge=low, le=high):
            return "an integer" + (f" from {low}" if low is not None else "") + (f" to {high}" if high is not None else "")
        case FloatType(ge=low, le=high):
            return "a number" + (f" from {low:g}" if low is not None else "") + (f" to {high:g}" if high is not None else "")
        case LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case StrType(pattern=pattern):
            return "text" + (f" matching {pattern}" if pattern else "")
        case NoneType():
            return "null"
        case UnionType(types=types):
            return " or ".join(map(_accepted, types))
        case DictType():
            return "a table"
        case _:
            return "a list"


def refuse_unknown(table: Mapping[str, object], known: list[str], where: str) -> None:
    """Raise :class:`SettingsError` for the first name that is not known, with a guess at what was meant."""
    for name in table:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise SettingsError(f"{where} {name!r} is unknown; {hint}Known: {', '.join(sorted(known))}")
