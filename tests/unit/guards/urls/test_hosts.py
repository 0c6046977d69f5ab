"""Lists of hosts."""

import pytest

from gateway.core.errors import GatewayError
from gateway.guards.urls.hosts import Hosts


def test_a_name_stands_for_itself_and_what_is_below():
    hosts = Hosts(["Example.com", "müller.example", "10.1.2.3", "2001:DB8::1"], "p")
    for host in ("example.com", "a.example.com", "a.b.example.com", "xn--mller-kva.example", "10.1.2.3", "2001:db8::1"):
        assert host in hosts
    for host in ("badexample.com", "com", "example.com.evil.example", "1.2.3", "x10.1.2.3"):
        assert host not in hosts
    assert hosts
    assert not Hosts([], "p")


@pytest.mark.parametrize("name", ["*.example.com", ".example.com"])
def test_a_star_leaves_the_name_itself_out(name: str):
    hosts = Hosts([name], "p")
    assert "a.example.com" in hosts
    assert "example.com" not in hosts


@pytest.mark.parametrize("name", ["https://example.com", "example.com/x", "a b", "", "*", "exa..mple"])
def test_what_is_no_host_is_an_error_that_names_it(name: str):
    with pytest.raises(GatewayError, match="is no host") as caught:
        Hosts(["example.com", name], "p.allow_hosts")
    assert caught.value.param == "p.allow_hosts[1]"


def test_too_many_hosts_are_an_error():
    with pytest.raises(GatewayError, match="at most 1000"):
        Hosts(["a.example"] * 1001, "p")
