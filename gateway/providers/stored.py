"""Parameters stored with a prompt version, which are kept in chat terms, as fields of the Responses API."""

from collections.abc import Callable, Mapping

from msgspec import Raw

from gateway.core.errors import MALFORMED, GatewayError
from gateway.wire import openai as chat
from gateway.wire import responses as wire

_RENAMED = {"max_tokens": "max_output_tokens", "max_completion_tokens": "max_output_tokens"}
_SAME = frozenset(
    {
        "temperature",
        "top_p",
        "top_logprobs",
        "parallel_tool_calls",
        "metadata",
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "service_tier",
    }
)
"""Fields of the chat form that are the same here."""
_LOGPROBS = Raw(b'"message.output_text.logprobs"')


def stored_under(stored: Mapping[str, Raw], native: Mapping[str, Raw]) -> dict[str, object]:
    """The caller's fields with stored ones beside them.

    ``stored`` has only what the caller did not give in chat terms, so where
    both have a field, the caller's says nothing about that part of it, and they are joined.

    Raises ``malformed`` naming a stored parameter that has no form in the Responses API.
    """
    body: dict[str, object] = dict(native)
    for name, raw in stored.items():
        join = _JOINS.get(name)
        if join is not None:
            join(raw, native, body)
        elif name in _SAME or name in _RENAMED:
            body[_RENAMED.get(name, name)] = raw
        else:
            raise GatewayError(
                MALFORMED,
                f"params.{name}: stored with the prompt, but the Responses API of this provider has no such field",
                param=f"params.{name}",
            )
    return body


def _metadata(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    if not chat.is_given(native.get("metadata", chat.ABSENT)):
        body["metadata"] = raw


def _effort(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    body["reasoning"] = {**_table(native.get("reasoning")), "effort": raw}


def _verbosity(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    body["text"] = {**_begun(body, native, "text"), "verbosity": raw}


def _format(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    given = _table(raw)
    schema = given.get("json_schema")
    form: dict[str, object] = {"type": given.get("type")}
    if schema is not None:
        form |= _table(schema)
    body["text"] = {**_begun(body, native, "text"), "format": form}


def _tools(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    given = native.get("tools", chat.ABSENT)
    body["tools"] = [
        *[_flat(tool) for tool in wire.decode_items(raw)],
        *(wire.decode_items(given) if chat.is_given(given) else ()),
    ]


def _tool_choice(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    del native
    body["tool_choice"] = _flat(raw) if bytes(raw).startswith(b"{") else raw


def _logprobs(raw: Raw, native: Mapping[str, Raw], body: dict[str, object]) -> None:
    if bytes(raw) == b"true":
        given = native.get("include", chat.ABSENT)
        body["include"] = [_LOGPROBS, *(wire.decode_items(given) if chat.is_given(given) else ())]


def _flat(raw: Raw) -> dict[str, Raw]:
    """A tool, or the choice of one, without the nesting of the chat form."""
    given = _table(raw)
    return {**{name: value for name, value in given.items() if name != "function"}, **_table(given.get("function"))}


def _begun(body: dict[str, object], native: Mapping[str, Raw], name: str) -> Mapping[str, object]:
    """The table under ``name``, with what another stored parameter has put into it."""
    table = body.get(name)
    return table if isinstance(table, dict) else _table(native.get(name))  # pyright: ignore[reportUnknownVariableType]


def _table(raw: Raw | None) -> dict[str, Raw]:
    return chat.decode_fields(raw) if raw is not None and chat.is_given(raw) else {}


_JOINS: dict[str, Callable[[Raw, Mapping[str, Raw], dict[str, object]], None]] = {
    "metadata": _metadata,
    "reasoning_effort": _effort,
    "verbosity": _verbosity,
    "response_format": _format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "logprobs": _logprobs,
}
