"""A Redis Cluster: commands go to the node that has their key's slot, each node with connections and a breaker of its own.

redis-py has a client for clusters. After any failure it asks anew where all slots are, while every caller waits, so that one
master that hangs makes all others unreachable for calls that have milliseconds. Here the map is asked for beside the calls,
and what one node does is felt on its own slots only. Slots, redirections: https://redis.io/docs/reference/cluster-spec/.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError, ReadOnlyError, RedisError
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as Unanswered

from gateway.storage.redis.address import server_at, servers
from gateway.storage.redis.breaker import Breaker
from gateway.storage.redis.clients import Single

T = TypeVar("T")
Command = tuple[Any, ...]

HOPS = 4
"""Redirections that one command follows: a slot moves once; more means that the nodes disagree."""
PAUSE_S = 0.2
"""Between two questions for the map while something is wrong: quick beside a failover's seconds, and no storm."""
_SILENT = (Disconnected, Unanswered, OSError)
_LOST = (ClusterDownError, ReadOnlyError)
"""What a node answers that should no longer be asked for these slots."""


class NodeAwayError(RedisError):
    """The node that has a slot is not known, or is left alone for a while."""


class _Node:
    def __init__(self, url: str, patience: float) -> None:
        self.url = url
        self.client = Single(url, patience)
        self.breaker = Breaker()


class Cluster:
    """What several servers answer. Takes the few commands that the stores send, in the form of redis-py's own client."""

    def __init__(self, url: str, patience: float, clock: Callable[[], float]) -> None:
        self._url = url
        self._patience = patience
        self._clock = clock
        self._seeds = servers(url)
        self._nodes: dict[str, _Node] = {}
        self._owners: dict[int, str] = {}
        """Slot to the URL of the node that has it."""
        self._learning: asyncio.Task[None] | None = None
        self._learned_at = float("-inf")

    def run(self, work: Callable[[Redis], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        """What ``work`` gets."""
        return work(cast("Redis", self))

    async def open(self) -> None:
        """Ask where which slot is."""
        await self._learn()

    async def close(self) -> None:
        """Close every connection."""
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.gather(self._learning, return_exceptions=True)
        for node in self._nodes.values():
            await node.client.close()

    async def execute_command(self, *command: Any) -> Any:
        """One command, wherever its key is. Raises :class:`NodeAwayError`, or what redis-py raises."""
        if not self._owners:
            await self._learn()
        slot = _slot(command)
        if slot is None:
            return await self._anywhere(command)
        return await self._follow(self._owner(slot), command)

    def pipeline(self, *, transaction: bool) -> "Batch":
        """Commands to be sent together, to each node its own."""
        assert not transaction, "keys of several nodes have no transaction"
        return Batch(self)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """What they answer, in their order. Raises the first failure after all others have been done."""
        if not self._owners:
            await self._learn()
        parts: dict[str, list[int]] = {}
        for place, command in enumerate(commands):
            parts.setdefault(self._owner(_slot(command) or 0).url, []).append(place)
        answers: list[Any] = [None] * len(commands)

        async def send(url: str, places: list[int]) -> None:
            batch = self._nodes[url].client.redis.pipeline(transaction=False)
            for place in places:
                batch.execute_command(*commands[place])
            with self._watched(self._nodes[url]):
                found = await batch.execute(raise_on_error=False)
            for place, answer in zip(places, found, strict=True):
                moved = isinstance(answer, (MovedError, AskError))
                answers[place] = await self.execute_command(*commands[place]) if moved else answer

        ended = await asyncio.gather(*(send(url, places) for url, places in parts.items()), return_exceptions=True)
        failed = [each for each in (*ended, *answers) if isinstance(each, BaseException)]
        if failed:
            raise failed[0]
        return answers

    async def _anywhere(self, command: Command) -> Any:
        """For commands without a key: whoever answers first, in the order of the map."""
        for node in list(self._nodes.values()):
            with contextlib.suppress(NodeAwayError, *_SILENT):
                return await self._follow(node, command)
        raise NodeAwayError("no node answers")

    async def _follow(self, node: _Node, command: Command) -> Any:
        for _ in range(HOPS):
            try:
                with self._watched(node):
                    return await node.client.redis.execute_command(*command)
            except MovedError as moved:
                node = self._node(server_at(self._url, moved.host or _host(node), moved.port))
                self._owners[moved.slot_id] = node.url
                self._learn_soon()
            except AskError as asked:
                node = self._node(server_at(self._url, asked.host or _host(node), asked.port))
                batch = node.client.redis.pipeline(transaction=False)
                batch.execute_command("ASKING")
                batch.execute_command(*command)
                with self._watched(node):
                    return (await batch.execute())[1]
        raise NodeAwayError("the nodes send this command in a circle")

    @contextlib.contextmanager
    def _watched(self, node: _Node) -> Generator[None]:
        """Around a question to a node: its breaker, and a new map when it fails."""
        if not node.breaker.allows(self._clock()):
            self._learn_soon()
            raise NodeAwayError("this node is left alone")
        try:
            yield
        except _SILENT:
            node.breaker.failed(self._clock())
            self._learn_soon()
            raise
        except RedisError as error:
            node.breaker.succeeded()
            if isinstance(error, _LOST):
                self._learn_soon()
            raise
        node.breaker.succeeded()

    def _owner(self, slot: int) -> _Node:
        url = self._owners.get(slot)
        if url is None:
            self._learn_soon()
            raise NodeAwayError("nobody has this slot")
        return self._node(url)

    def _node(self, url: str) -> _Node:
        if url not in self._nodes:
            self._nodes[url] = _Node(url, self._patience)
        return self._nodes[url]

    # --- the map ----------------------------------------------------------------------------------------------------
    def _learn_soon(self) -> None:
        if self._learning is None and self._clock() - self._learned_at >= PAUSE_S:
            self._start()

    async def _learn(self) -> None:
        if self._learning is None and self._clock() - self._learned_at < PAUSE_S:
            raise NodeAwayError("no node has told where the slots are")
        await asyncio.shield(self._learning or self._start())

    def _start(self) -> "asyncio.Task[None]":
        self._learning = asyncio.ensure_future(self._ask_for_the_map())
        self._learning.add_done_callback(self._learned)
        return self._learning

    def _learned(self, task: "asyncio.Task[None]") -> None:
        self._learning = None
        self._learned_at = self._clock()
        if not task.cancelled():
            task.exception()  # seen: whoever waits for it has it as well

    async def _ask_for_the_map(self) -> None:
        """Whoever answers first is believed: nodes that disagree correct us by redirections. Named nodes come first."""
        said = ""
        for url in dict.fromkeys((*self._seeds, *self._nodes)):
            node = self._nodes.get(url) or _Node(url, self._patience)
            try:
                ranges: Any = await node.client.redis.execute_command("CLUSTER", "SLOTS")
            except (RedisError, OSError) as error:
                said = f": {error}"
                continue
            finally:
                if url not in self._nodes:
                    await node.client.close()
            if ranges:
                await self._take(ranges, _host(node))
                return
        raise NodeAwayError(f"no node tells where the slots are{said}")

    async def _take(self, ranges: list[Any], host: str) -> None:
        owners: dict[int, str] = {}
        for first, last, (name, port, *_), *_ in ranges:
            url = server_at(self._url, name.decode() if name else host, port)
            owners.update(dict.fromkeys(range(first, last + 1), url))
        self._owners = owners
        living = set(owners.values())
        gone = [self._nodes.pop(url) for url in list(self._nodes) if url not in living]
        for url in living:
            self._node(url)
        for node in gone:
            await node.client.close()


class Batch:
    """Commands that are sent together, in the form of redis-py's own pipeline."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._commands: list[Command] = []

    def execute_command(self, *command: Any) -> None:
        """Note a command."""
        self._commands.append(command)

    def eval(self, script: str, keys: int, *arguments: Any) -> None:
        """Note a script."""
        self._commands.append(("EVAL", script, keys, *arguments))

    async def execute(self) -> list[Any]:
        """Send them; their answers in order."""
        return await self._cluster.send(self._commands)


def _slot(command: Command) -> int | None:
    """The slot of a command's keys, by the first: the others have the same tag. None: it has no key."""
    match command[0]:
        case "EVAL" | "EVALSHA":
            key = command[3]
        case "PUBLISH" | "INFO":
            return None
        case _:
            key = command[1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


def _host(node: _Node) -> str:
    return node.client.redis.connection_pool.connection_kwargs["host"]
