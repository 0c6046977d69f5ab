"""Which path and method leads where, on raw paths."""

from typing import Any

import msgspec
import pytest

from gateway.core.requests import Inbound
from gateway.core.upstream import CHAT
from gateway.edge import doors, native, openai
from gateway.edge.doors import HOT_ROUTES


class Seat:
    started = gone = False

    def __init__(self) -> None:
        self.status = 0
        self.head = ""
        self.body: Any = None

    async def whole(self, status: int, head: bytes, body: bytes) -> None:
        self.status, self.head, self.body = status, head.decode(), msgspec.json.decode(body)

    async def start(self, status: int, head: bytes) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end(self, data: bytes = b"") -> None: ...


def inbound(**headers: str) -> Inbound:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Inbound("chat", given, b"{}", "call", "req", 0, 0.0, 1.0)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Who was called, with what beside the request."""
    calls: list[Any] = []

    def spy(name: str) -> Any:
        async def door(request: Inbound, services: Any, reply: Any, *rest: Any) -> None:
            calls.append((name, *rest, request.headers.get(b"x-prompt")))

        return door

    for module, name in ((openai, "chat"), (native, "models"), (native, "model"), (native, "render_prompt")):
        monkeypatch.setattr(module, name, spy(name))
    monkeypatch.setitem(doors._FIXED, "/v1/chat/completions", {"POST": openai.chat})
    monkeypatch.setitem(doors._FIXED, "/v1/models", {"GET": native.models})
    return calls


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("POST", "/v1/chat/completions", ("chat", None)),
        ("GET", "/v1/models", ("models", None)),
        ("GET", "/v1/models/faq@staging", ("model", "faq@staging", None)),
        ("GET", "/v1/models/a%2Fb", ("model", "a%2Fb", None)),
        ("GET", "/v1/models/a/b", ("model", "a/b", None)),
        ("POST", "/v1/prompts/faq/render", ("render_prompt", "faq", None)),
        ("POST", "/v1/prompts/billing/refund/render", ("render_prompt", "billing/refund", None)),
        ("POST", "/v1/prompts/faq/completions", ("chat", b"faq@production")),
        ("POST", "/v1/prompts/faq%40staging/completions", ("chat", b"faq@staging")),
        ("POST", "/v1/prompts/billing%2Frefund/completions", ("chat", b"billing/refund@production")),
    ],
)
async def test_a_route_leads_to_its_door(called: list[Any], method: str, path: str, call: tuple[Any, ...]) -> None:
    await doors.answer(method, path, inbound(), None, Seat())  # type: ignore[arg-type]
    assert called == [call]


async def test_a_pin_in_a_header_joins_the_path(called: list[Any]) -> None:
    await doors.answer("POST", "/v1/prompts/faq/completions", inbound(x_prompt_version="3"), None, Seat())  # type: ignore[arg-type]
    assert called == [("chat", b"faq:3")]


@pytest.mark.parametrize(
    ("ref", "headers", "kind", "param"),
    [
        ("not%20a%20name", {}, "invalid_request", "path"),
        ("faq:1", {"x_prompt_version": "2"}, "contradictory_reference", "x-prompt-version"),
        ("faq", {"x_prompt_version": "2", "x_prompt_alias": "a"}, "contradictory_reference", "x-prompt-alias"),
    ],
)
async def test_a_path_that_names_no_prompt_is_refused(
    called: list[Any], ref: str, headers: dict[str, str], kind: str, param: str
) -> None:
    seat = Seat()
    await doors.answer("POST", f"/v1/prompts/{ref}/completions", inbound(**headers), None, seat)  # type: ignore[arg-type]
    assert (seat.status, seat.body["error"]["code"], seat.body["error"]["param"]) == (400, kind, param)
    assert called == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/v1/models/",
        "/v1/prompts/",
        "/v1/prompts/render",
        "/v1/prompts//render",
        "/v1/prompts//completions",
        "/v1/prompts/faq",
        "/v1/CHAT/completions",
        "/v1/" + "x" * 5000,
    ],
)
async def test_no_such_route(called: list[Any], path: str) -> None:
    seat = Seat()
    await doors.answer("POST", path, inbound(), None, seat)  # type: ignore[arg-type]
    assert (seat.status, seat.body["error"]["code"]) == (404, "not_found")
    assert len(seat.body["error"]["message"]) < 300
    assert called == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/v1/chat/completions", "POST"), ("POST", "/v1/models", "GET"), ("HEAD", "/v1/models/a", "GET")],
)
async def test_a_wrong_method(called: list[Any], method: str, path: str, allow: str) -> None:
    seat = Seat()
    await doors.answer(method, path, inbound(), None, seat)  # type: ignore[arg-type]
    assert seat.status == 405
    assert f"allow: {allow}\r\n" in seat.head
    assert called == []


def test_doors_have_names_for_the_books() -> None:
    assert doors.name_of("POST", "/v1/prompts/faq/render") == "render"
    assert doors.name_of("POST", "/v1/prompts/faq/completions") == doors.name_of("POST", "/v1/chat/completions") == CHAT
    assert doors.name_of("POST", "/v1/responses") == "responses"
    assert doors.name_of("GET", "/v1/responses/resp_1/input_items") == "read_response"
    assert doors.name_of("DELETE", "/v1/responses/resp_1") == "delete_response"
    assert doors.name_of("POST", "/v1/responses/resp_1/cancel") == "cancel_response"
    assert doors.name_of("GET", "/v1/models") == doors.name_of("GET", "/v1/models/a/render") == "models"
    assert doors.name_of("POST", "/v1/files/file-1/content") == "files"
    assert doors.name_of("POST", "/v1/embeddings") == "embeddings"
    assert {f"/v1/{door}".encode() for door in ("chat/completions", "messages", "responses", "embeddings")} <= set(HOT_ROUTES)
    for path, route in HOT_ROUTES.items():
        assert doors.name_of("POST", path.decode()) == route.door


def test_anthropics_routes_have_names_and_a_dialect_of_their_own() -> None:
    assert doors.name_of("POST", "/v1/messages") == "messages"
    assert doors.name_of("POST", "/v1/messages/count_tokens") == "count_tokens"
    assert doors.name_of("POST", "/v1/responses/input_tokens") == "count_tokens"
    paths = ("/v1/messages", "/v1/messages/x", "/v1/models")
    assert [doors.dialect_of(path).name for path in paths] == ["messages", "messages", "chat"]
