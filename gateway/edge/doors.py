"""The data plane's routes: method and raw path to the function that answers, errors in the route's own dialect."""

from collections.abc import Mapping

from gateway.core.dialect import Dialect
from gateway.core.errors import METHOD_NOT_ALLOWED, NOT_FOUND, GatewayError
from gateway.core.forward import EMBEDDINGS, FORWARDED
from gateway.core.requests import Inbound
from gateway.core.upstream import CHAT, MESSAGES
from gateway.dialects.chat import CHAT_DIALECT
from gateway.dialects.completions import COMPLETIONS
from gateway.dialects.messages.dialect import MESSAGES_DIALECT
from gateway.dialects.responses.dialect import RESPONSES
from gateway.edge import counting, explain, forwarding, native, openai, responses, runs
from gateway.edge.openai import Door, HotRoute
from gateway.edge.problems import refuse
from gateway.pipeline.reply import Reply
from gateway.pipeline.services import Services

PREFIX = "/v1/"
"""Everything below this path is the data plane's."""
_MESSAGES_PATH = "/v1/messages"
_NAMED = frozenset((COMPLETIONS, RESPONSES, "models", *FORWARDED))
"""Doors that are called like the first part of their paths."""
_NAMES = {"/v1/explain": "explain", runs.TEST: "test"}
"""Doors that are called otherwise."""
_RESPONSES = "/v1/responses"
_INPUT_TOKENS = "/v1/responses/input_tokens"
_PARTS = frozenset(("", "input_items", "cancel"))
"""What may follow the id of a kept response."""
_KEPT = {"DELETE": "delete_response", "POST": "cancel_response"}
"""Doors below it by method; the others read."""
_UNKNOWN = "unknown"
"""The door of paths that lead nowhere: no restricted key has its scope."""


def serves(path: str) -> bool:
    """Whether a path is the data plane's: below :data:`PREFIX`, or one of the run endpoints."""
    return path.startswith((PREFIX, runs.EXECUTE)) or path == runs.TEST


async def answer(method: str, path: str, inbound: Inbound, services: Services, reply: Reply) -> None:
    """Answer any request for a path that :func:`serves` knows. ``path`` is raw: still percent-encoded, without the query."""
    doors = _find(path)
    door = doors.get(method)
    dialect = dialect_of(path)
    if not doors:
        await refuse(GatewayError(NOT_FOUND, f"no route {path[:200]}"), inbound, reply, dialect)
    elif door is None:
        allowed = ", ".join(doors)
        error = GatewayError(METHOD_NOT_ALLOWED, f"{method} is not allowed on {path[:200]}; use {allowed}")
        error.headers = f"allow: {allowed}\r\n".encode()
        await refuse(error, inbound, reply, dialect)
    else:
        await door(inbound, services, reply)


def dialect_of(path: str) -> Dialect:
    """How refusals are said below a path, whether or not a route is there."""
    return MESSAGES_DIALECT if path.startswith(_MESSAGES_PATH) else CHAT_DIALECT


def name_of(method: str, path: str) -> str:
    """The door's name, for metrics, the ledger and the scopes of keys (:data:`gateway.core.grants.SCOPES`)."""
    if path in _NAMES:
        return _NAMES[path]
    if path.startswith(runs.EXECUTE):
        return "execute"
    if path.startswith(_MESSAGES_PATH):
        return counting.COUNT_TOKENS if path.endswith("/count_tokens") else MESSAGES
    if path == _INPUT_TOKENS:
        return counting.COUNT_TOKENS
    if path.startswith(_RESPONSES + "/"):
        return _KEPT.get(method, "read_response")
    first = path[len(PREFIX) :].partition("/")[0]
    if first in _NAMED:
        return first
    if first == "prompts" and path.endswith("/render"):
        return "render"
    return CHAT if first in {CHAT, "prompts"} else _UNKNOWN


_FIXED: dict[str, Mapping[str, Door]] = {
    "/v1/chat/completions": {"POST": openai.chat},
    "/v1/completions": {"POST": openai.completions},
    _MESSAGES_PATH: {"POST": openai.messages},
    "/v1/messages/count_tokens": {"POST": counting.of_message},
    _RESPONSES: {"POST": openai.responses},
    _INPUT_TOKENS: {"POST": counting.of_response},
    "/v1/explain": {"POST": explain.door},
    "/v1/models": {"GET": native.models},
    runs.TEST: {"POST": runs.test_prompt},
}
"""Paths without a name in them."""


def _find(path: str) -> Mapping[str, Door]:
    """The doors at a path, by method; none when there is no such path."""
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed
    response = path.removeprefix(_RESPONSES + "/")
    if response not in {path, ""}:
        return _response(response)
    name = path.removeprefix("/v1/models/")
    if name != path and name:
        return {"GET": lambda inbound, services, reply: native.model(inbound, services, reply, name)}
    rest = path.removeprefix(runs.EXECUTE)
    if rest != path:
        return {"POST": lambda inbound, services, reply: runs.execute(inbound, services, reply, rest)}
    rest = path.removeprefix("/v1/prompts/")
    if rest != path:
        ref = rest.removesuffix("/render")
        if ref not in {rest, ""}:
            return {"POST": lambda inbound, services, reply: native.render_prompt(inbound, services, reply, ref)}
        ref = rest.removesuffix("/completions")
        if ref not in {rest, ""}:
            return {"POST": lambda inbound, services, reply: _prompt_chat(inbound, services, reply, ref)}
    return forwarding.doors_at(path[len(PREFIX) - 1 :])


def _response(name: str) -> Mapping[str, Door]:
    """The doors of one kept response. Its id has no slash."""
    response, _, part = name.partition("/")
    if not response or part not in _PARTS or name.endswith("/"):
        return {}
    if part == "input_items":
        return {"GET": lambda inbound, services, reply: responses.input_items(inbound, services, reply, response)}
    if part == "cancel":
        return {"POST": lambda inbound, services, reply: responses.cancel(inbound, services, reply, response)}
    return {
        "GET": lambda inbound, services, reply: responses.read(inbound, services, reply, name),
        "DELETE": lambda inbound, services, reply: responses.delete(inbound, services, reply, name),
    }


HOT_ROUTES = {**openai.HOT_ROUTES, b"/v1/embeddings": HotRoute(EMBEDDINGS, forwarding.embeddings, CHAT_DIALECT)}
"""What the front door hands straight to the pipeline, by raw request path; all of them are POST."""


async def _prompt_chat(inbound: Inbound, services: Services, reply: Reply, ref: str) -> None:
    try:
        call = native.prompt_as_model(inbound, ref)
    except GatewayError as error:
        await refuse(error, inbound, reply)
        return
    await openai.chat(call, services, reply)
