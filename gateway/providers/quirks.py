"""How servers that speak Chat Completions depart from OpenAI's own API: data, one row per kind of ``providers.toml``.

Sources: each project's own page on its OpenAI-compatible API, read in 2025 and 2026: Ollama ``docs/openai.md``, llama.cpp
``tools/server/README.md``, vLLM "OpenAI-Compatible Server", text-generation-inference "Messages API", Mistral "Chat completion"
API reference. A field that a server ignores without a word is refused by name here: the caller would take it for honoured.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from gateway.core.errors import MALFORMED, GatewayError
from gateway.wire.openai import DECODE_ERRORS

NO_OPS: dict[str, frozenset[bytes]] = {
    "n": frozenset({b"1"}),
    "logprobs": frozenset({b"false"}),
    "top_logprobs": frozenset({b"0"}),
    "logit_bias": frozenset({b"{}"}),
    "frequency_penalty": frozenset({b"0", b"0.0"}),
    "presence_penalty": frozenset({b"0", b"0.0"}),
    "parallel_tool_calls": frozenset({b"true"}),
    "tool_choice": frozenset({b'"auto"'}),
    "store": frozenset({b"false"}),
    "service_tier": frozenset({b'"auto"', b'"default"'}),
    "modalities": frozenset({b'["text"]'}),
    "response_format": frozenset({b'{"type":"text"}'}),
    "metadata": frozenset({b"{}"}),
    "tools": frozenset({b"[]"}),
    "verbosity": frozenset({b'"medium"'}),
}
"""Values that ask for what happens anyway; fields are nullable in OpenAI's API, so null is one of them everywhere."""
_LONGEST_NO_OP = 64
"""Bytes: twice the longest of them, spaces included. Nothing longer is looked into."""
HANDLED = frozenset({"user", "stream_options"})
"""Fields the gateway itself acts on (it records the user and adds the usage), so a provider without them misses nothing."""


class Quirks(Struct, frozen=True):
    """One server's departures."""

    usage_on_request: bool = True
    """Whether ``stream_options`` is understood; if not, it is left out, as such servers report usage unasked."""
    renamed: Mapping[str, str] = {}
    """Fields under their name of today and the name this server knows."""
    lacking: frozenset[str] = frozenset()
    """Fields this server does not have: refused by name unless their value asks for nothing."""


_OLD_MAXIMUM = {"max_completion_tokens": "max_tokens"}

QUIRKS: dict[str, Quirks] = {
    "openai": Quirks(),
    "azure": Quirks(),
    "vllm": Quirks(lacking=frozenset({"store", "modalities"})),
    "llamacpp": Quirks(renamed=_OLD_MAXIMUM, lacking=frozenset({"store", "modalities", "service_tier"})),
    "ollama": Quirks(
        renamed=_OLD_MAXIMUM,
        lacking=frozenset({"n", "logit_bias", "tool_choice", "parallel_tool_calls", "store", "modalities", "service_tier"}),
    ),
    "tgi": Quirks(
        renamed=_OLD_MAXIMUM,
        lacking=frozenset(
            {"n", "logit_bias", "parallel_tool_calls", "store", "modalities", "service_tier", "reasoning_effort"}
        ),
    ),
    "mistral": Quirks(
        usage_on_request=False,
        renamed={**_OLD_MAXIMUM, "seed": "random_seed"},
        lacking=frozenset(
            {
                "logprobs",
                "top_logprobs",
                "logit_bias",
                "store",
                "modalities",
                "service_tier",
                "user",
                "verbosity",
            }
        ),
    ),
}


def refuse(provider: str, name: str, raw: Raw) -> None:
    """Raise ``malformed`` for a field that ``provider`` has no form for, unless its value asks for nothing."""
    if name in HANDLED or is_no_op(name, raw):
        return
    raise GatewayError(MALFORMED, f"{name}: {provider} has no form for what is asked", param=name)


def is_no_op(name: str, raw: Raw) -> bool:
    """Whether leaving the field out changes nothing."""
    if len(raw) > _LONGEST_NO_OP:
        return False
    try:
        value = msgspec.json.encode(msgspec.json.decode(raw))
    except DECODE_ERRORS:  # nobody has read it so far: it may be no text, or a number out of range
        return False
    return value == b"null" or value in NO_OPS.get(name, frozenset())


def fit(provider: str, quirks: Quirks, fields: dict[str, Raw]) -> None:
    """Put ``fields`` into the form the server knows, in place. Raises ``malformed`` naming a field that has none."""
    if not quirks.usage_on_request:
        fields.pop("stream_options", None)
    for name in quirks.lacking & fields.keys():
        refuse(provider, name, fields[name])
        del fields[name]
    for name, known in quirks.renamed.items():
        value = fields.pop(name, None)
        if value is None or bytes(value) == b"null":
            continue
        if known in fields and bytes(fields[known]) != b"null":
            raise GatewayError(MALFORMED, f"{name}: {known} is given too; give one", param=name)
        fields[known] = value
