"""Where Redis is: one server, or the nodes of a cluster.

    redis://host:6379/0, rediss://..., unix:///path                  one server, in redis-py's own form
    redis+cluster://user:password@host:6379,host:6379?option=value   a cluster, by some of its nodes; rediss+cluster for TLS

Any living node tells where the others are; several are named so that one of them may be away when a worker starts.
"""

_CLUSTER = "+cluster://"


def is_cluster(url: str) -> bool:
    """Whether ``url`` names the nodes of a cluster."""
    return _CLUSTER in url


def servers(url: str) -> list[str]:
    """Every server that ``url`` names, each as a URL of its own with the same credentials and options."""
    if not is_cluster(url):
        return [url]
    hosts = url.split(_CLUSTER, 1)[1].rpartition("@")[2].partition("?")[0]
    return [_server(url, host) for host in hosts.split(",")]


def server_at(url: str, host: str, port: int) -> str:
    """The URL of another node of the cluster that ``url`` names, with the same credentials and options."""
    return _server(url, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _server(url: str, place: str) -> str:
    scheme, rest = url.split(_CLUSTER, 1)
    credentials, at, places = rest.rpartition("@")
    _, mark, query = places.partition("?")
    return f"{scheme}://{credentials}{at}{place}{mark}{query}"
