"""The guard type ``urls``: addresses that may not be named, by scheme, host and port.

Found are addresses with a scheme, or that begin with ``www.``; a host's bare name in a sentence is no address.
"""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.guards.catalogue import GuardType
from gateway.guards.detector import Finding
from gateway.guards.forms import NOTHING, Form, FormDetector
from gateway.guards.urls.address import Address, parse
from gateway.guards.urls.hosts import Hosts

_CHAR = r"""[^\s<>"'`{}|)\]]"""
_LAST = r"""[^\s<>"'`{}|)\].,;:!?*]"""
"""The end of a sentence, and marks of emphasis, are no part of an address."""

_MOST = 600
"""Characters of an address after its scheme. Browsers follow longer ones, but a host has 253 at most."""

_TAIL = rf"(?:\[[0-9A-Fa-f:.]{{2,45}}\])?{_CHAR}{{0,{_MOST}}}{_LAST}"
ADDRESS = rf"(?:[A-Za-z][A-Za-z0-9+.-]{{1,20}}://|(?i:https?|ftp|wss?):[/\\]{{1,4}}|(?i:javascript:|vbscript:|data:[a-z]{{1,20}}/)){_TAIL}"
WWW = rf"(?i:www)\.{_CHAR}{{0,{_MOST}}}{_LAST}"


class UrlOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of ``urls``."""

    allow_hosts: list[str] = []
    """If there are any: every other host is found. A name stands for everything below it too."""
    deny_hosts: list[str] = []
    allow_ip: bool = False
    """Whether a host may be an IP address; one that is listed may."""
    allow_user: bool = False
    """Whether a name may stand before the host, which is how one host is made to look like another."""
    schemes: Annotated[tuple[str, ...], Meta(min_length=1)] = ("http", "https")
    ports: list[Annotated[int, Meta(ge=1, le=65_535)]] = []
    """If there are any: every other port that is written out is found."""


class Policy:
    """Which addresses are refused, and as what."""

    __slots__ = ("_allow", "_deny", "_options", "_schemes")

    def __init__(self, options: UrlOptions, param: str) -> None:
        self._options = options
        self._allow = Hosts(options.allow_hosts, f"{param}.options.allow_hosts")
        self._deny = Hosts(options.deny_hosts, f"{param}.options.deny_hosts")
        self._schemes = frozenset(map(str.lower, options.schemes))

    def refuses(self, text: str) -> str | None:
        """The kind of what is wrong with an address; None: it may be named."""
        address = parse(text)
        if address is None:
            return "malformed_url"
        if address.scheme not in self._schemes:
            return "scheme"
        return self._where(address)

    def _where(self, address: Address) -> str | None:
        if address.user and not self._options.allow_user:
            return "user"
        if self._options.ports and address.port is not None and address.port not in self._options.ports:
            return "port"
        if address.host in self._deny:
            return "denied_host"
        if address.host in self._allow:
            return None
        if address.ip and not self._options.allow_ip:
            return "ip_host"
        return "other_host" if self._allow else None


class UrlDetector:
    """Finds the addresses that a policy refuses."""

    __slots__ = ("_forms", "_policy", "before", "longest")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        form = Form("url", ADDRESS, lambda text: policy.refuses(text) is not None, around=":", left=r"[\w+.-]", right=NOTHING)
        bare = Form("url", WWW, form.accept, left=r"[\w+./:@-]", right=NOTHING)
        self._forms = FormDetector([form, bare])
        self.before = self._forms.before
        self.longest = self._forms.longest

    def find(self, text: str) -> list[Finding]:
        """Every refused address."""
        return self.find_from(text, 0)

    def find_from(self, text: str, start: int) -> list[Finding]:
        """Every refused address that begins at ``start`` or later."""
        return [self._said(text, f) for f in self._forms.find_from(text, start)]

    def _said(self, text: str, found: Finding) -> Finding:
        return Finding(found.start, found.end, self._policy.refuses(text[found.start : found.end]) or found.what)

    def hold(self, text: str) -> int:
        """Characters at the end of a text that may be, or become, part of an address."""
        return self._forms.hold(text)

    def hold_from(self, text: str, start: int) -> int:
        """As :meth:`hold`, for addresses that begin at ``start`` or later."""
        return self._forms.hold_from(text, start)


def _make(options: UrlOptions, param: str) -> UrlDetector:
    return UrlDetector(Policy(options, param))


URLS = GuardType(
    "urls",
    UrlOptions,
    _make,
    "Finds addresses by a policy of hosts, schemes and ports; they are read as a browser reads them, and never fetched.",
    "WHATWG URL Standard, https://url.spec.whatwg.org; UTS 46, https://www.unicode.org/reports/tr46/",
)
