"""The guard ``refusal``: an answer in which the model declines.

Refusals are formulas, and they stand at the beginning: an apology, "I can't", a word on being an AI or on guidelines. One strong
formula in the first sentences is a refusal, in 14 languages. Source of the method: the refusal prefixes of Zou et al., "Universal and
Transferable Adversarial Attacks on Aligned Language Models" (2023), appendix; the wording is our own.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import tomllib
from importlib.resources import files
from typing import Annotated

import re2
from msgspec import Meta, Struct

from gateway.guards.injection.views import words
from gateway.guards.normal import plain, plain_pattern
from gateway.guards.whole import WholeText

_FILE = files("gateway.guards") / "data" / "refusal.toml"
_FORMULAS: dict[str, list[str]] = tomllib.loads(_FILE.read_text(encoding="utf-8"))


class RefusalOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``refusal`` may be told."""

    within: Annotated[int, Meta(ge=20, le=10_000)] = 300
    """Characters from the beginning in which a refusal must begin; a long answer may say no to a part of what was asked further on."""


class RefusalGuard(WholeText):
    """Looks for a formula."""

    __slots__ = ("_pattern", "_within")

    def __init__(self, options: RefusalOptions) -> None:
        self._within = options.within
        self._pattern = re2.compile(
            "|".join(f"(?:{plain_pattern(formula)})" for formulas in _FORMULAS.values() for formula in formulas)
        )

    def judge(self, text: str) -> str | None:
        """``refusal``, or nothing."""
        return "refusal" if self._pattern.search(words(plain(text[: self._within]))) else None


def make_refusal(options: RefusalOptions, _param: str) -> RefusalGuard:
    """The guard."""
    return RefusalGuard(options)
