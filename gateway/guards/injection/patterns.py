r"""Patterns of attacks on a model's instructions, by family, each with the weight of its evidence. They are data: ``data/*.toml``.

Patterns see plain text (:mod:`gateway.guards.normal`), so they are lower case. Those of words see it with one blank for whatever stands
between words (:mod:`gateway.guards.injection.views`), those of markup with its punctuation. ``{NAME}`` is a fragment of the same file.

A weight is the share of texts with this wording, among those that a model is likely to see, that we take for attacks: from 0.2 (a
hint that counts only beside others) to 0.9 (nobody writes that by chance). Sources of the wording, none of it copied as a whole: OWASP
Top 10 for LLM Applications 2025, LLM01 and LLM07; Perez and Ribeiro, "Ignore Previous Prompt" (2022); Shen et al., "Do Anything Now"
(2023); Greshake et al., "Not what you've signed up for" (2023); Wei et al., "Jailbroken" (2023); Schulhoff et al., "HackAPrompt"
(2023); the chat templates that model vendors publish.
"""

import re
import tomllib
from importlib.resources import files
from typing import Literal, get_args

import msgspec
from msgspec import Struct

Family = Literal[
    "instruction_override",
    "jailbreak",
    "prompt_extraction",
    "delimiter_spoofing",
    "tool_spoofing",
    "exfiltration",
    "multilingual",
    "obfuscation",
]
FAMILIES: tuple[Family, ...] = get_args(Family)


class Pattern(Struct, frozen=True, gc=False):
    """One wording."""

    family: Family
    weight: float
    source: str


class _Table(Struct, forbid_unknown_fields=True):
    patterns: list[tuple[float, str]]


class _File(Struct, forbid_unknown_fields=True):
    fragments: dict[str, str] = {}
    families: dict[Family, _Table] = {}
    languages: dict[str, _Table] = {}


_FRAGMENT = re.compile(r"\{([A-Z_]+)\}")


def _load(name: str) -> tuple[Pattern, ...]:
    text = (files("gateway.guards.injection") / "data" / name).read_text(encoding="utf-8")
    file = msgspec.convert(tomllib.loads(text), _File)

    def filled(source: str) -> str:
        return _FRAGMENT.sub(lambda match: filled(file.fragments[match[1]]), source)

    tables: list[tuple[Family, _Table]] = [
        *file.families.items(),
        *(("multilingual", table) for table in file.languages.values()),
    ]
    return tuple(Pattern(family, weight, filled(source)) for family, table in tables for weight, source in table.patterns)


WORDS: tuple[Pattern, ...] = (*_load("english.toml"), *_load("other_languages.toml"))
"""Attacks in words, for :func:`gateway.guards.injection.views.words`: in English, and the commonest in 30 more languages."""

MARKUP: tuple[Pattern, ...] = _load("markup.toml")
"""Attacks that are written in marks more than in words, for :func:`gateway.guards.normal.plain`."""

DISCUSSION = (
    r"\b(?:prompt injections?|injection attacks?|jailbreak(?:s|ing)? (?:attacks?|prompts?|attempts?|techniques?)|owasp|attackers?|"
    r"red team(?:ing|s)?|adversarial|security (?:research|researchers?|training|awareness|team|course|engineer|policy)|"
    r"malicious (?:user|users|prompts?|instructions?|input)|vulnerabilit(?:y|ies)|"
    r"(?:phrase|string|input|message)s? (?:like|such as|saying|that say)|for example|e g|known as|the classic|"
    r"detect(?:s|or|ion|ing)?|filter(?:s|ing)?|blocklist|guardrails?|regex(?:es)?|unit tests?|test cases?|classif(?:y|ier|ies))\b"
)
"""Signs that a text speaks about attacks. Where it does, wording inside quotation marks is a quotation more often than an attack."""
