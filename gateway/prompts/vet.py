"""The gate before minijinja: what a Jinja template may say, so that rendering it stays bounded.

Fuel bounds the number of steps of a rendering, not their size: ``x ~ x`` forty times over, ``'x' * 10**8`` or
``range(100000)|sum`` in a loop cost few steps and any amount of memory or time, and an expression of 20,000 minus signs
overflows the compiler's stack. So a template is read here first, token by token, and

- only statements, functions, methods, filters and tests from the lists below pass, everything else is refused by name;
- what may grow or is costly is charged to the rendering's budget by filters inserted here (gateway.prompts.filters):
  ``set x = e`` becomes ``set x = (e)|_keep``, ``for x in e`` becomes ``for x in (e)|_each('')``, filters that walk or copy get
  ``_each`` or ``_scan`` before them, and where texts are joined or sliced, ``a.b`` becomes ``(a.b|_use(n, 'a.b'))``;
- ``*`` needs a number on its right and something that ``** 1`` accepts, which is a number, on its left.
"""

import re
from operator import itemgetter
from typing import NoReturn

from msgspec import Struct

from gateway.prompts.dialect import CHARGED, FILTERS, FUNCTIONS, METHODS, OPERATORS, RESERVED, STATEMENTS, TESTS

MAX_TAG = 2_000
"""Characters of one tag: a tenth of what overflows the compiler's stack in its deepest recursion."""

MAX_TAGS = 1_000
"""Of one template: a chain of 1,000 ``elif`` recurses a fifth as deep as the stack allows."""

MAX_JOINS = 32
"""``~`` and ``+`` in one tag: each copies all that is left of it."""

_SLICE = 4
"""A slice goes character by character: four times the cost of a copy."""

_OPEN = re.compile(r"\{[{%#]")
_TOKEN = re.compile(
    r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|[^\W\d]\w*|\d\w*(?:\.\d+)?|\*\*|//|[=!<>]=|[-+*/%~|.,:()\[\]{}<>=]", re.DOTALL
)
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_ENDRAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_PLAIN = re.compile(r"\{\{\s*([A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*\s*\}\}", re.ASCII)


class Vetted(Struct, frozen=True):
    """A template that may be compiled."""

    source: str
    """With the budget's filters inserted."""
    plain: bool
    """Nothing but text and ``{{ a.b }}`` tags: no engine is needed."""
    guarded: frozenset[str]
    """Variables that the template asks about (``is defined``, ``|default``) and that may therefore be absent."""
    looped: int
    """Characters of the longest text that a loop repeats."""


class _Token(Struct):
    text: str
    start: int
    end: int
    depth: int


def vet(source: str) -> Vetted:
    """Check a template and prepare it. Raises ``ValueError`` (public text)."""
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._out: list[str] = []
        self._guarded: set[str] = set()
        self._plain = True
        self._tags = 0
        self._loops = 0
        self._looped = 0

    def read(self) -> Vetted:
        source, at = self._source, 0
        while (opened := _OPEN.search(source, at)) is not None:
            self._text(source[at : opened.start()])
            at = self._comment(opened.start()) if opened[0] == "{#" else self._tag(opened.start(), opened[0])
        self._text(source[at:])
        return Vetted("".join(self._out), self._plain, frozenset(self._guarded), self._looped)

    def _fail(self, at: int, problem: str) -> NoReturn:
        raise ValueError(f"line {self._source.count(chr(10), 0, at) + 1}: {problem}")

    def _text(self, text: str) -> None:
        self._out.append(text)
        if self._loops:
            self._looped = max(self._looped, len(text))

    def _comment(self, start: int) -> int:
        self._plain = False
        end = self._source.find("#}", start + 2)
        if end < 0:
            self._fail(start, "a comment without its end")
        return self._copy(start, end + 2)

    def _copy(self, start: int, end: int) -> int:
        self._out.append(self._source[start:end])
        return end

    def _tag(self, start: int, opening: str) -> int:
        source = self._source
        self._tags += 1
        if self._tags > MAX_TAGS:
            self._fail(start, f"more than {MAX_TAGS} tags")
        if (raw := _RAW.match(source, start)) is not None:
            self._plain = False
            ended = _ENDRAW.search(source, raw.end())
            if ended is None:
                self._fail(start, "raw without endraw")
            if self._loops:
                self._looped = max(self._looped, ended.start() - raw.end())
            return self._copy(start, ended.end())
        tokens, end = self._tokens(start, "}}" if opening == "{{" else "%}")
        plain = _PLAIN.fullmatch(source, start, end)
        self._plain = self._plain and plain is not None and plain[1] not in RESERVED
        checked = self._expression(tokens)
        # Where two meet, the one around the smaller part comes first: the sort is stable.
        inserts = (self._statement(tokens, start) if opening == "{%" else self._copies(tokens)) + checked
        for at, text in sorted(inserts, key=itemgetter(0)):
            start = self._copy(start, at)
            self._out.append(text)
        return self._copy(start, end)

    def _tokens(self, start: int, closing: str) -> tuple[list[_Token], int]:
        source, at = self._source, start + 2
        at += source[at : at + 1] in {"-", "+"}
        tokens: list[_Token] = []
        depth = 0
        while True:
            while source[at : at + 1].isspace():
                at += 1
            if at - start > MAX_TAG:
                self._fail(start, f"a tag of more than {MAX_TAG} characters")
            trim = source[at : at + 1] in {"-", "+"} and source.startswith(closing, at + 1)
            if trim or source.startswith(closing, at):
                if depth:
                    self._fail(at, f"an open bracket before {closing!r} (write a space between closing braces)")
                return tokens, at + trim + 2
            match = _TOKEN.match(source, at)
            if match is None:
                self._fail(at, f"a tag without its end, or an unknown sign {source[at : at + 1]!r}")
            depth -= match[0] in {")", "]", "}"}
            tokens.append(_Token(match[0], at, match.end(), depth))
            depth += match[0] in {"(", "[", "{"}
            at = match.end()

    def _expression(self, tokens: list[_Token]) -> list[tuple[int, str]]:
        """Check names and operators; returns what to insert where."""
        inserts: list[tuple[int, str]] = []
        texts = ["", "", *(token.text for token in tokens), "", "", ""]
        for i, token in enumerate(tokens):
            before2, before, text = texts[i : i + 3]
            if text == "*":
                if not texts[i + 3][:1].isdigit():
                    self._fail(token.start, "'*' needs a number on its right")
                inserts.append((token.start, " ** 1 "))
            elif text == "(":
                self._call(token, before2, before)
            elif text[0].isidentifier():
                self._name(token, before2, before)
                if before == "|" and text in CHARGED:
                    inserts.append((token.start, f"{CHARGED[text]}({_chain_text(tokens[: i - 1])!r})|"))
                if before != "." and _asked(texts[i + 3 : i + 6]):
                    self._guarded.add(text)
        return inserts

    def _copies(self, tokens: list[_Token]) -> list[tuple[int, str]]:
        """Charge every variable of an expression that joins or slices texts."""
        texts = [token.text for token in tokens]
        joins = texts.count("~") + texts.count("+")
        if joins > MAX_JOINS:
            self._fail(tokens[0].start, f"more than {MAX_JOINS} of '~' and '+' in one tag")
        copies = joins + (_SLICE if ":" in texts and "[" in texts else 0)
        inserts: list[tuple[int, str]] = []
        i = 0
        while copies and i < len(tokens):
            chain = _chain(tokens, i)
            if chain:
                name = "".join(token.text for token in chain)
                inserts += [(chain[0].start, "("), (chain[-1].end, f"|_use({copies}, {name!r}))")]
            i += max(len(chain), 1)
        return inserts

    def _name(self, token: _Token, before2: str, before: str) -> None:
        is_test = (before == "is" and token.text != "not") or (before == "not" and before2 == "is")
        if is_test and token.text not in TESTS:
            self._fail(token.start, f"unknown test {token.text!r}")
        if before == "|" and token.text not in FILTERS:
            self._fail(token.start, f"unknown filter {token.text!r}")

    def _call(self, token: _Token, before2: str, before: str) -> None:
        if before in {")", "]", "}"} or before[:1] in {"'", '"'}:
            self._fail(token.start, "only functions, methods, filters and tests can be called")
        if not before[:1].isidentifier() or before in OPERATORS or before2 in {"|", "is"}:
            return
        if before2 == "not" and before in TESTS:
            return
        if before2 == ".":
            if before not in METHODS:
                self._fail(token.start, f"unknown method {before!r}; there are filters for texts ({{{{ name|upper }}}})")
        elif before not in FUNCTIONS:
            self._fail(token.start, f"unknown function {before!r}")

    def _statement(self, tokens: list[_Token], start: int) -> list[tuple[int, str]]:
        name = tokens[0].text if tokens else ""
        if name not in STATEMENTS:
            self._fail(start, f"unknown statement {name!r}")
        self._loops += (name == "for") - (name == "endfor")
        if name == "for":
            if tokens[-1].text == "recursive":
                self._fail(start, "loops cannot be recursive")
            body = tokens[self._index(tokens, "in") + 1 :]
            return self._copies(body) + self._wrap(body[: self._index(body, "if")], "_each('')")
        if name == "set":
            value = tokens[self._index(tokens, "=") + 1 :]
            if not value and any(token.text == "|" for token in tokens):
                self._fail(start, "a set block takes no filters")
            if not value or value[0].text != "namespace":
                return self._copies(value) + self._wrap(value, "_keep")
            if any(token.text in {"~", "+", "*", "|"} for token in value):
                self._fail(start, "namespace(...) takes plain values; set the attribute afterwards")
            return []
        return self._copies(tokens[1:])

    def _index(self, tokens: list[_Token], text: str) -> int:
        return next((i for i, token in enumerate(tokens) if token.text == text and token.depth == 0), len(tokens))

    def _wrap(self, tokens: list[_Token], name: str) -> list[tuple[int, str]]:
        return [(tokens[0].start, "("), (tokens[-1].end, f")|{name}")] if tokens else []


def _chain(tokens: list[_Token], i: int) -> list[_Token]:
    """The variable that begins at token ``i``, with its dotted path (``a.b``), unless it is asked whether it exists."""
    texts = [token.text for token in tokens] + ["", "", ""]
    before = texts[i - 1] if i else ""
    if not texts[i][0].isidentifier() or texts[i] in RESERVED or before in {".", "|", "is"}:
        return []
    if before == "not" and i > 1 and texts[i - 2] == "is":
        return []
    end = i + 1
    while texts[end] == "." and texts[end + 1][:1].isidentifier() and texts[end + 2 : end + 3] != ["("]:
        end += 2
    if texts[end] in {"(", "="} or _asked(texts[end : end + 3]):
        return []
    return tokens[i:end]


def _chain_text(tokens: list[_Token]) -> str:
    """The variable that ends with the last of these tokens; empty if it is something else."""
    i = len(tokens) - 1
    while i >= 2 and tokens[i - 1].text == "." and tokens[i].text[0].isidentifier():
        i -= 2
    return "".join(token.text for token in _chain(tokens, i)) if i >= 0 else ""


def _asked(after: list[str]) -> bool:
    if after[0] == "|":
        return after[1] in {"default", "d"}
    return after[0] == "is" and after[1 + (after[1] == "not")] in {"defined", "undefined"}
