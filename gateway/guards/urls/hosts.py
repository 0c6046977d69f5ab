"""Lists of hosts: a name stands for itself and for everything below it."""

from gateway.core.errors import MALFORMED, GatewayError
from gateway.guards.urls.address import host_of

MAX_HOSTS = 1_000
"""Per list: more is a service of its own."""


class Hosts:
    """A list of hosts, matched label by label: ``example.com`` is ``example.com`` and ``a.example.com``, not ``badexample.com``.

    A leading ``*.`` or dot leaves the name itself out. ``param`` names the list in errors. Raises ``malformed``.
    """

    __slots__ = ("_below", "_whole")

    def __init__(self, names: list[str], param: str) -> None:
        if len(names) > MAX_HOSTS:
            raise GatewayError(MALFORMED, f"{param} has {len(names)} hosts; at most {MAX_HOSTS} are possible", param=param)
        self._whole: set[str] = set()
        self._below: set[str] = set()
        for i, name in enumerate(names):
            bare = name.removeprefix("*").removeprefix(".")
            host = host_of(bare if bare.count(":") < 2 or bare.startswith("[") else f"[{bare}]")
            if host is None:
                at = f"{param}[{i}]"
                raise GatewayError(
                    MALFORMED, f"{at}: {name[:60]!r} is no host; write it without scheme, port and path", param=at
                )
            self._below.add(host)
            if bare == name:
                self._whole.add(host)

    def __contains__(self, host: str) -> bool:
        """Whether a host (as :func:`gateway.guards.urls.address.host_of` gives it) is one of them, or below one."""
        if host in self._whole:
            return True
        dot = host.find(".")
        while dot >= 0:
            if host[dot + 1 :] in self._below:
                return True
            dot = host.find(".", dot + 1)
        return False

    def __bool__(self) -> bool:
        return bool(self._below)
