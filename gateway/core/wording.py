"""What a value may be, in words for people: settings errors end with it."""

from msgspec.inspect import BoolType, DictType, IntType, LiteralType, NoneType, StrType, Type, UnionType


def accepted(info: Type) -> str:
    """A type in words."""
    match info:
        case BoolType():
            return "true or false"
        case IntType(ge=low, le=high):
            return "an integer" + (f" from {low}" if low is not None else "") + (f" to {high}" if high is not None else "")
        case LiteralType(values=values):
            return "one of " + ", ".join(map(str, values))
        case StrType(pattern=pattern):
            return "text" + (f" matching {pattern}" if pattern else "")
        case NoneType():
            return "null"
        case UnionType(types=types):
            return " or ".join(map(accepted, types))
        case DictType():
            return "a table"
        case _:
            return "a list"
