"""Where Redis is: one server, or the nodes of a cluster.

    redis://host:6379/0, rediss://..., unix:///path                  one server, in redis-py's own form
    redis+cluster://user:password@host:6379,host:6379?option=value   a cluster, by some of its nodes; rediss+cluster for TLS

Any living node tells where the others are; several are named so that one of them may be away when a worker starts.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_CLUSTER = "+cluster://"


def is_cluster(url: str) -> bool:
    """Whether ``url`` names the nodes of a cluster."""
    return _CLUSTER in url


def servers(url: str) -> list[str]:
    """Every server that ``url`` names, each as a URL of its own with the same credentials and options."""
    if not is_cluster(url):
        return [url]
    scheme, rest = url.split(_CLUSTER, 1)
    credentials, at, places = rest.rpartition("@")
    hosts, mark, query = places.partition("?")
    return [f"{scheme}://{credentials}{at}{host}{mark}{query}" for host in hosts.split(",")]


def cluster_client(url: str, connections: int, timeout_s: float) -> RedisCluster:
    """A client that has not connected yet: at most ``connections`` to each node, every wait bounded by ``timeout_s`` seconds.

    It follows redirections, which tell that a slot has moved. Failures are not repeated: they reach the breaker, and the next
    call asks the nodes that live where everything is now.
    """
    given: list[dict[str, Any]] = [{"host": "localhost", "port": 6379, **parse_url(each)} for each in servers(url)]
    nodes = [ClusterNode(each["host"], each["port"]) for each in given]
    options = {name: value for name, value in given[0].items() if name not in {"host", "port", "db", "connection_class"}}
    return RedisCluster(
        startup_nodes=nodes,
        ssl=given[0].get("connection_class") is SSLConnection,
        max_connections=connections,
        require_full_coverage=False,  # a cluster that has lost some slots still serves the others
        reinitialize_steps=0,  # a redirection corrects one slot; asking for all would cut the connections of calls in flight
        dynamic_startup_nodes=False,  # names outlive the numbers that nodes announce: all of them may change in a night
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        **options,
    )
