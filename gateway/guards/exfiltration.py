"""Addresses that carry data away: images and frames that a client loads by itself, links whose address has something to tell.

A model that was told to (by a document it reads, say) writes an image whose address holds what it knows; the client that shows the
answer fetches it, and nobody has clicked. References: Rehberger, "Bing Chat: Data Exfiltration Exploit Explained", 2023 (images of
Markdown); CVE-2025-32711 "EchoLeak", 2025 (references); CommonMark 0.31 and the HTML Standard for what is loaded.

What loads by itself is found whatever its address says, unless its host is allowed: one request tells something already. Links are
found if their address carries data, for most addresses in answers are honest.
"""

import html
import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import unquote_plus

from msgspec import Struct

from gateway.guards.catalogue import GuardType
from gateway.guards.forms import NOTHING, Form, FormDetector
from gateway.guards.urls.address import SPECIAL, Address, parse
from gateway.guards.urls.guard import ADDRESS
from gateway.guards.urls.hosts import Hosts

_TAGS = (
    "img|image|iframe|frame|script|link|video|audio|source|track|embed|object|input|form|body|table|td|svg|use|base|meta|style"
    "|portal"
)
"""Elements of HTML and SVG that make a browser ask, or lead every other address elsewhere (``base``)."""

_ATTRIBUTE = re.compile(
    r"""(?i)(?:src|srcset|href|data|action|formaction|poster|background|content|style|lowsrc|codebase)\s*=\s*("[^"]*"?|'[^']*'?|[^\s>"']+)"""
)
_LOADING = "src|srcset|poster|background|formaction"
"""Attributes of which no other thing is made than a request."""

_IN_STYLE = re.compile(r"""(?i)(?:url\(|@import|url=)\s*["']?([^\s"')]+)""")
_LEADS = re.compile(r"[:/\\][/\\]|:")
"""What every address to another host has."""

_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
"""A backslash before punctuation (CommonMark, 2.4)."""

_TEMPLATE = re.compile(r"\{\{?[^{}]*\}\}?|\[[A-Z_ ]{3,}\]|<[A-Z_ ]{3,}>|%7[Bb]|\$\{")
"""A place to be filled in."""

_ADDRESS_CHARS = r"[^\s)>]"
_MUCH = 40
"""Characters of one value or label that are too many for a name: 30 bytes in base64."""

_WORDS = 5
"""Words in one value: a sentence, where a search has two or three."""

_PARAMETER = re.compile(r"[?&;#]?([^=&;#]*)(?:=([^&;#]*))?")


class ExfiltrationOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``exfiltration``."""

    allow_hosts: list[str] = []
    """Hosts that may be told anything: your own. A name stands for everything below it too."""
    links: Literal["data", "all", "none"] = "data"
    """Which links to other hosts are found: those whose address carries data, all, or none."""


class Judge:
    """Which addresses are found."""

    __slots__ = ("_allow", "_links")

    def __init__(self, options: ExfiltrationOptions, param: str) -> None:
        self._allow = Hosts(options.allow_hosts, f"{param}.options.allow_hosts")
        self._links = options.links

    def _foreign(self, text: str) -> Address | None:
        """The address, if it leads to a host that is not allowed."""
        address = parse(_ESCAPED.sub(r"\1", html.unescape(text.strip().strip("<>").strip())))
        if address is None or address.scheme not in SPECIAL or address.host in self._allow:
            return None
        return address

    def image(self, text: str) -> bool:
        """``![alt](address "title")``."""
        return self._foreign(_destination(text.partition("](")[2])) is not None

    def reference(self, text: str) -> bool:
        """``[label]: address``."""
        return self._foreign(_destination(text.partition("]:")[2])) is not None

    def element(self, text: str) -> bool:
        """``<img src=address>`` and its like."""
        for match in _ATTRIBUTE.finditer(text):
            value = html.unescape(match[1].strip("\"'"))
            if not _LEADS.search(value):
                continue
            parts = [*_IN_STYLE.findall(value), *(part.split()[0] for part in value.split(",") if part.strip())]
            if any(self._foreign(part) is not None for part in parts):
                return True
        return False

    def style(self, text: str) -> bool:
        """``url(address)`` and ``@import`` in a style."""
        return any(self._foreign(part) is not None for part in _IN_STYLE.findall(text))

    def markdown_link(self, text: str) -> bool:
        """``[text](address)``."""
        return self._tells(_destination(text.partition("](")[2]))

    def anchor(self, text: str) -> bool:
        """``<a href=address>``."""
        return any(self._tells(match[1].strip("\"'")) for match in _ATTRIBUTE.finditer(text))

    def bare(self, text: str) -> bool:
        """An address by itself: most clients make it a link."""
        return self._tells(text)

    def _tells(self, text: str) -> bool:
        if self._links == "none":
            return False
        address = self._foreign(text)
        return address is not None and (self._links == "all" or carries_data(address))


def _destination(text: str) -> str:
    """The address of a link, without its title (CommonMark, 6.3)."""
    text = text.strip()
    if text.startswith("<"):
        return text[1:].partition(">")[0]
    return text.rstrip(")").split()[0] if text.rstrip(")").split() else ""


def carries_data(address: Address) -> bool:
    """Whether an address says more than where something is: a sentence, an e-mail address, a long value, a place to be filled in."""
    if any(len(label) >= _MUCH for label in address.host.split(".") if not label.startswith("xn--")):
        return True
    if _TEMPLATE.search(address.rest):
        return True
    path, _, query = address.rest.partition("?")
    path, _, fragment = path.partition("#")
    values = [match[2] or match[1] for match in _PARAMETER.finditer(f"{query}#{fragment}")] + path.split("/")
    return any(map(_says_much, values))


def _says_much(value: str) -> bool:
    if len(value) < 8:
        return False
    text = unquote_plus(value)
    if "@" in text[1:] and "." in text.partition("@")[2]:
        return True
    # Slugs of titles are words with hyphens, and public.
    if len(text) >= _MUCH and ("-" not in text or len(max(text.split("-"), key=len)) >= _MUCH):
        return True
    return len(text.split()) >= _WORDS


def forms(judge: Judge) -> tuple[Form, ...]:
    """What is looked at, and by whom."""

    def form(what: str, pattern: str, accept: Callable[[str], bool], left: str = NOTHING) -> Form:
        return Form(what, pattern, accept, left=left, right=NOTHING)

    char = r"(?:[^\[\]\\\n]|\\.|\n[^\n\[\]])"
    alt = rf"(?:{char}{{0,100}}\[(?:{char}|\[{char}{{0,10}}\]){{0,10}}\]){{0,4}}{char}{{0,100}}"
    target = rf"\s{{0,8}}(?:<[^<>\n]{{1,600}}>?|{_ADDRESS_CHARS}{{1,600}})"
    title = r"""(?:\s{1,8}(?:"[^"\n]{0,100}"|'[^'\n]{0,100}'))?\s{0,8}\)?"""
    return (
        form("image", rf"!\[{alt}\]\({target}{title}", judge.image),
        # No bracket for so long: an image with a long description, or a link with a text that nobody writes.
        Form("image", rf"\]\({target}{title}", judge.image, after=r"[^\[\]]{60}", left=NOTHING, right=NOTHING),
        form("image", r"\[[^\[\]\n]{1,200}\]:" + target, judge.reference),
        form("element", rf"<(?i:{_TAGS})[\s/][^<>]{{1,600}}>?", judge.element),
        # A ">" within a value does not end the element.
        form("element", rf"<(?i:{_TAGS})[\s/][^<>]{{0,500}}=\s?[\"'][^\"'>]{{0,300}}>[^<>]{{1,600}}>?", judge.element),
        # The element may have begun long before.
        form(
            "element",
            r"""(?i:src|srcset|poster|background|formaction)\s{0,3}=\s{0,3}["']?[^\s"'>]{6,600}""",
            judge.element,
            r"[\w-]",
        ),
        form("element", r"""(?i:url\(|@import)\s{0,4}["']?[^\s"'()]{6,600}["']?\)?""", judge.style),
        form("link", rf"\[[^\[\]\n]{{0,300}}\]\({target}{title}", judge.markdown_link, left="!"),
        form("link", r"<[aA]\s[^<>]{1,600}>?", judge.anchor),
        Form("link", ADDRESS, judge.bare, around=":", left=r"[\w+.-]", right=NOTHING),
    )


def _make(options: ExfiltrationOptions, param: str) -> FormDetector:
    return FormDetector(forms(Judge(options, param)))


EXFILTRATION = GuardType(
    "exfiltration",
    ExfiltrationOptions,
    _make,
    "Finds images, frames and links whose address carries data to a host that is not allowed.",
    "EchoLeak, CVE-2025-32711; https://embracethered.com/blog/posts/2023/bing-chat-data-exfiltration-poc-and-fix/",
)
