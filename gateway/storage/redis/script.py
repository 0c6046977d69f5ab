"""Lua scripts sent once and then called by their digest."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import hashlib
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class Script:
    """The script that several files make, in order."""

    def __init__(self, *files: str) -> None:
        self.text = "\n".join([(Path(__file__).parent / file).read_text(encoding="utf-8") for file in files])
        self._digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Redis, keys: list[str], *arguments: str | int | bytes) -> Any:
        """One round trip; two where the server has not seen the script since it started."""
        try:
            return await client.execute_command("EVALSHA", self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await client.execute_command("EVAL", self.text, len(keys), *keys, *arguments)


COUNTERS = ("calendar.lua", "counter.lua")
"""What the scripts of the counters begin with."""
LEASE = Script(*COUNTERS, "lease.lua")
