"""What models can do: limits and capabilities from ``config/models.toml``. Pure data, for those who choose a model."""

import re

import msgspec
from msgspec import Struct

_DATE = re.compile(r"20\d\d-\d\d(-\d\d)?", re.ASCII)


class Model(Struct, frozen=True, omit_defaults=True):
    """What is known of a model; None is unknown, which is not "no"."""

    context: int | None = None
    """Tokens of input and output together, or of input alone where the vendor counts so."""
    max_output: int | None = None
    """Tokens of one answer at most, thoughts included."""
    tools: bool | None = None
    vision: bool | None = None
    json_schema: bool | None = None
    """Whether ``response_format`` of ``json_schema`` is held to."""
    reasoning: bool | None = None


class Entry(Model, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[model]]`` of the file."""

    models: list[str]
    """Model names; a ``*`` at the end stands for anything. The longest match counts, a full name before any pattern."""
    source: str
    """Where this was read."""
    date: str
    """The state it describes: a month or a day."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    model: list[Entry] = []


class ModelTable(Struct, frozen=True):
    """A loaded file."""

    exact: dict[str, Model] = {}
    prefixes: tuple[tuple[str, Model], ...] = ()
    """Beginnings of names, longest first."""

    def find(self, name: str) -> Model | None:
        """What is known of a model."""
        known = self.exact.get(name)
        if known is None:
            for prefix, candidate in self.prefixes:
                if name.startswith(prefix):
                    return candidate
        return known


def load_models(data: bytes) -> ModelTable:
    """Read ``models.toml``. Raises ``ValueError`` naming the entry and what is wrong with it; nothing is guessed."""
    try:
        file = msgspec.toml.decode(data, type=_File)
    except msgspec.MsgspecError as error:
        raise ValueError(f"model table: {error}") from None
    exact: dict[str, Model] = {}
    patterns: dict[str, Model] = {}
    for number, entry in enumerate(file.model):
        where = f"model[{number}] ({', '.join(entry.models)})"
        if not entry.models or not entry.source:
            raise ValueError(f"{where}: give models and a source")
        if _DATE.fullmatch(entry.date) is None:
            raise ValueError(f"{where}: date = {entry.date!r} is no month (2026-11) and no day (2026-11-21)")
        if any(limit is not None and limit <= 0 for limit in (entry.context, entry.max_output)):
            raise ValueError(f"{where}: limits are positive")
        known = Model(entry.context, entry.max_output, entry.tools, entry.vision, entry.json_schema, entry.reasoning)
        for name in entry.models:
            table, stem = (patterns, name[:-1]) if name.endswith("*") else (exact, name)
            if "*" in stem or not stem:
                raise ValueError(f"{where}: {name!r} is no model name; only a last '*' is a pattern")
            if stem in table:
                raise ValueError(f"{where}: {name!r} is listed twice")
            table[stem] = known
    return ModelTable(exact, tuple(sorted(patterns.items(), key=lambda item: -len(item[0]))))
