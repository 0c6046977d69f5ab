"""Signed thoughts of models that are not asked in this dialect: in ``encrypted_content`` of reasoning items, and back from there.

Clients of this API give reasoning items back as they were, for that is how OpenAI's own models think on. So what Bedrock, Gemini and
Anthropic want back signed lies in such an item, under a mark by which it is told from OpenAI's, which would refuse it.
"""

import base64
import binascii

from gateway.core.errors import MALFORMED, GatewayError
from gateway.wire.answers import Said
from gateway.wire.chat import read_signature, read_thinking_blocks
from gateway.wire.chat_in import SignedCall, ThinkingBlock, Thoughts, decode_thoughts
from gateway.wire.gemini import VENDOR
from gateway.wire.openai import DECODE_ERRORS, encode

MARK = "promptgate:"
"""Begins ``encrypted_content`` that is ours; OpenAI's is base64 and holds no colon."""


def signed_thoughts(said: Said, shown: str) -> str | None:
    """What a message or a delta wants back, as ``encrypted_content``; ``shown`` are the thoughts that the caller has seen.

    Where a guard has changed them, the signed ones are left out: they would say what it took away.
    """
    found = [block for block in read_thinking_blocks(said.thinking_blocks) if block.signature or block.type != "thinking"]
    if shown != "".join([block.thinking for block in found]):
        found = [block for block in found if block.type != "thinking"]
    blocks = [
        ThinkingBlock("redacted_thinking", data=block.data)
        if block.type == "redacted_thinking"
        else ThinkingBlock("thinking", block.thinking, block.signature)
        for block in found
    ]
    calls = [
        SignedCall(call.id, _extra(signature))
        for call in said.tool_calls or ()
        if call.id and (signature := read_signature(call.extra_content, VENDOR)) is not None
    ]
    text = read_signature(said.extra_content, VENDOR)
    if not blocks and not calls and text is None:
        return None
    thoughts = Thoughts(None if blocks else shown or None, blocks or None, None if text is None else _extra(text), calls)
    return MARK + base64.b64encode(encode(thoughts)).decode()


def is_ours(encrypted: str | None) -> bool:
    """Whether ``encrypted_content`` was made here."""
    return encrypted is not None and encrypted.startswith(MARK)


def given_back(encrypted: list[tuple[str, str]]) -> bytes | None:
    """The thoughts of one message, as :attr:`gateway.core.conversation.Message.thoughts`, of (``encrypted_content``, where it stands).

    Raises ``malformed`` for what we have not made.
    """
    whole = Thoughts()
    for text, where in encrypted:
        try:
            found = decode_thoughts(base64.b64decode(text.removeprefix(MARK), validate=True))
        except (*DECODE_ERRORS, binascii.Error):
            param = f"{where}.encrypted_content"
            raise GatewayError(MALFORMED, f"{param}: not as this gateway gave it", param=param) from None
        whole.thinking_blocks = [*(whole.thinking_blocks or ()), *(found.thinking_blocks or ())] or None
        whole.reasoning_content = (whole.reasoning_content or "") + (found.reasoning_content or "") or None
        whole.extra_content = found.extra_content or whole.extra_content
        whole.tool_calls += found.tool_calls
    return encode(whole) if encrypted else None


def _extra(signature: str) -> dict[str, dict[str, object]]:
    return {VENDOR: {"thought_signature": signature}}
