"""How the stored parts of a prompt and the parts of a request come together. Nothing is ever dropped silently."""

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
from msgspec import Raw

from gateway.core.conversation import Conversation, Message
from gateway.core.documents import Role, VersionContent
from gateway.core.errors import MALFORMED, GatewayError

SYSTEM_ROLES = frozenset(["system", "developer"])

_OURS = frozenset(["messages", "model", "n", "prompt", "stream", "stream_options", "variables"])
"""Fields that the gateway itself acts on, per request: a version cannot store them as parameters."""

_SYNONYMS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
"""Two names of one field: a stored limit must hold whichever of them a caller, or its dialect, uses."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Params:
    """The stored parameters of a version. Raises ``malformed`` for a name that cannot be stored."""

    __slots__ = ("_defaults", "_everything", "_model", "_overridable")

    def __init__(self, content: VersionContent) -> None:
        for name in content.params:
            if name in _OURS:
                raise GatewayError(MALFORMED, f"params: {name!r} cannot be stored with a version", param=f"params.{name}")
        self._defaults = {name: Raw(_encode(value)) for name, value in content.params.items()}
        self._overridable = frozenset(content.overridable)
        self._everything = "*" in self._overridable
        self._model = content.model

    def merge(self, fields: Mapping[str, Raw]) -> Mapping[str, Raw]:
        """Stored defaults under the request's fields; no copy where there are only the one or the others.

        Raises ``malformed`` naming a field that differs from its stored value and is not overridable.
        """
        defaults = self._defaults
        if not defaults:
            return fields
        if not fields:
            return defaults
        for name, other in _SYNONYMS.items():
            if name in fields and other in defaults and name not in defaults:
                defaults = {name: defaults[other], **{key: value for key, value in defaults.items() if key != other}}
        if not self._everything:
            for name in defaults.keys() & fields.keys():
                named = {name, _SYNONYMS.get(name, name)}
                if named.isdisjoint(self._overridable) and not _same(defaults[name], fields[name]):
                    raise _fixed(name)
        return {**defaults, **fields}

    def model(self, asked: str) -> str:
        """The model to use when a request asks for ``asked`` (empty: for none); empty when neither names one.

        Raises ``malformed`` when the version fixes another one.
        """
        if not asked or not self._model or asked == self._model:
            return asked or self._model
        if self._everything or "model" in self._overridable:
            return asked
        raise _fixed("model")


def _fixed(name: str) -> GatewayError:
    return GatewayError(MALFORMED, f"{name!r} is fixed by the prompt version and not listed as overridable", param=name)


def _same(a: Raw, b: Raw) -> bool:
    """Whether two pieces of JSON mean the same; ``1`` and ``1.0`` do, ``1`` and ``true`` do not."""
    if bytes(a) == bytes(b):
        return True
    x: Any = msgspec.json.decode(a)
    y: Any = msgspec.json.decode(b)
    if isinstance(x, bool) or isinstance(y, bool):
        return x is y
    return x == y if isinstance(x, int | float) and isinstance(y, int | float) else _encode(x) == _encode(y)


def split_system(messages: Conversation) -> tuple[Conversation, Conversation]:
    """A caller's messages as (system and developer messages, all others), each in order."""
    return (
        tuple(message for message in messages if message.role in SYSTEM_ROLES),
        tuple(message for message in messages if message.role not in SYSTEM_ROLES),
    )


def has_system(messages: Conversation) -> bool:
    """Whether a caller sends system or developer messages."""
    for message in messages:  # noqa: SIM110 - a generator costs four times as much
        if message.role in SYSTEM_ROLES:
            return True
    return False


def refuse_system() -> GatewayError:
    """The error of the ``reject`` policy."""
    return GatewayError(
        MALFORMED,
        "messages: the prompt has its own system message; its version allows no other (system_policy: reject)",
        param="messages",
    )


_BEFORE_TEXT = {role: b'{"role":"%b","content":' % role.encode() for role in get_args(Role)}
"""The JSON of a message of the prompt up to its text, by the role."""


def encode_message(role: str, text: str, near: str | None = None) -> Message:
    """A message of the prompt, as JSON in the OpenAI chat form; ``near`` as :attr:`Message.near`."""
    return Message(role, text, _BEFORE_TEXT[role] + _encode(text) + b"}", None, None, True, near)
