"""A Redis Cluster of three masters, and a replica where a test asks for one, from the program that the other tests use."""

import os
import random
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from gateway.embedded.account import hand_over, servant
from gateway.embedded.process import Child, spawn, stop
from gateway.embedded.redis import lent_program

MASTERS = 3
BUS = 10_000
"""A node's own port is its clients' and this: before version 7 it could not be chosen."""
PATIENCE = 40


class RedisCluster:
    """``start`` it from the main thread; ``stop`` it before leaving."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.nodes: dict[int, Child] = {}
        """Port to process, in the order of their slots."""

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.nodes)

    def start(self) -> str:
        """Three masters that agree on all slots; their URL."""
        ports = [self._spawn() for _ in range(MASTERS)]
        share = REDIS_CLUSTER_HASH_SLOTS // MASTERS
        for index, port in enumerate(ports):
            last = REDIS_CLUSTER_HASH_SLOTS - 1 if index == MASTERS - 1 else (index + 1) * share - 1
            self.tell(port, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            self.tell(port, "CLUSTER", "ADDSLOTS", *range(index * share, last + 1))
            self.tell(ports[0], "CLUSTER", "MEET", "127.0.0.1", port)
        until(lambda: all(self._agrees(port) for port in ports))
        return self.url

    def add_replica(self, master: int) -> int:
        """One more node that follows ``master``, caught up; its port."""
        port = self._spawn()
        self.tell(master, "CLUSTER", "MEET", "127.0.0.1", port)
        name = self.name(master)
        until(lambda: name in str(self.tell(port, "CLUSTER", "NODES")))
        self.tell(port, "CLUSTER", "REPLICATE", name)
        until(lambda: "master_link_status:up" in self.tell(port, "INFO", "replication").decode())
        # Whoever does not know its master's slots takes over none.
        until(lambda: len(self._ranges(port)) == MASTERS and all(self._knows(other, port) for other in self.nodes))
        return port

    def kill(self, port: int) -> None:
        """SIGKILL."""
        stop(self.nodes.pop(port), signal.SIGKILL, seconds=10)

    def stop(self) -> None:
        for child in self.nodes.values():
            stop(child, signal.SIGKILL, seconds=10)
        self.nodes.clear()

    def owner(self, key: str) -> int:
        """The port of the master that has a key."""
        slot = key_slot(key.encode())
        return next(int(r[2][1]) for r in self._ranges(next(iter(self.nodes))) if r[0] <= slot <= r[1])

    def name(self, port: int) -> str:
        """A node's own id."""
        return self.tell(port, "CLUSTER", "MYID").decode()

    def tell(self, port: int, *command: Any) -> Any:
        """One command to one node, its answer as it came."""
        with redis.Redis(port=port, socket_timeout=10) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def _agrees(self, port: int) -> bool:
        info = self.tell(port, "CLUSTER", "INFO").decode()
        return "cluster_state:ok" in info and f"cluster_known_nodes:{MASTERS}" in info and len(self._ranges(port)) == MASTERS

    def _knows(self, port: int, other: int) -> bool:
        return f"127.0.0.1:{other}@" in self.tell(port, "CLUSTER", "NODES").decode()

    def _ranges(self, port: int) -> list[Any]:
        return self.tell(port, "CLUSTER", "SLOTS")

    def _spawn(self) -> int:
        account, port = servant(), free_port()
        folder = self._folder / str(port)
        hand_over(folder, account)
        program = os.environ.get("TEST_REDIS_SERVER") or lent_program(account)
        options = {
            "port": str(port),
            "bind": "127.0.0.1",
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            # Who is gone is decided by tests: a machine that stalls must not look like a master that died.
            "cluster-node-timeout": "600000",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
            "save": "",
            "appendonly": "no",
            "dir": str(folder),
        }
        argv = [program, *(part for name, value in options.items() for part in (f"--{name}", value))]
        self.nodes[port] = spawn(argv, folder=folder, log=folder / "server.log", account=account, farewell=signal.SIGKILL)
        until(lambda: _answers(port))
        return port


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def until(found: Callable[[], bool]) -> None:
    """Wait for ``found`` to be true; fails after :data:`PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < end, "the cluster did not come about"
        time.sleep(0.02)


def free_port() -> int:
    """A port that is free for clients, and whose neighbour for the nodes is."""
    while True:
        port = random.randint(20_000, 32_000)
        try:
            with socket.socket() as clients, socket.socket() as bus:
                clients.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + BUS))
        except OSError:
            continue
        return port
