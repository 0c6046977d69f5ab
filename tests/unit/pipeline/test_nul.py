"""No text that a provider chooses may keep a row out of the database, which takes no NUL."""

from typing import Any

import msgspec
import pytest


def has_nul(row: Any) -> bool:
    return any("\0" in value for value in msgspec.structs.astuple(row) if isinstance(value, str))


async def test_a_providers_message(world: Any, say: Any) -> None:
    world.script(say.refusal(400, "no\0such field"))
    await world.fail("upstream_rejected")
    assert not has_nul(world.row)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_finish_reason(world: Any, say: Any, stream: bool) -> None:
    if stream:
        world.script(say.stream(say.delta("x", finish="st\0p"), say.usage() + say.DONE))
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "st\0p"}
        world.script(say.completion(choices=[choice]))
    await world.call(say.chat(stream=stream))
    assert not has_nul(world.row)
