"""The admin API over HTTP, on a real Postgres: its door, every refusal, and what it tells of calls and of itself."""

import asyncio
import re
import time
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from gateway.control.routes import PATH
from gateway.core.ledger import LedgerRow
from gateway.storage.postgres.calls import PostgresCallWriter
from tests.integration.conftest import NASTY, TOKEN, Control, escaped_json, row, text

# --- the door -----------------------------------------------------------------------------------------------------


def routes(app: Litestar) -> list[tuple[str, str]]:
    return [
        (method, re.sub(r"\{[^}]*\}", "x", route.path))
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith(PATH)
        for method in sorted(route.methods - {"OPTIONS"})
    ]


def test_every_route_asks_for_the_token(control: Control):
    found = routes(control.app)
    assert len(found) > 30
    for header in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        with httpx.Client(trust_env=False) as stranger:
            for method, path in found:
                answer = stranger.request(method, control.url + path, headers=header)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key"), (method, path)


def test_unknown_paths_and_methods_answer_in_the_same_form(control: Control):
    assert control.refused("GET", "/nothing", b"")[:2] == (404, "not_found")
    answer = control.http.patch("/prompts")
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_the_openapi_page_describes_every_route(control: Control):
    paths = httpx.get(f"{control.url}/schema/openapi.json", trust_env=False).json()["paths"]
    described = {
        (method.upper(), re.sub(r"\{[^}]*\}", "x", path))
        for path, item in paths.items()
        for method in item
        if method != "parameters"
    }
    assert set(routes(control.app)) <= described


# --- refusals name their field ------------------------------------------------------------------------------------


VALID = {"slug": "p", "content": text("hi")}


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "/applications", {"slug": "a b"}, "slug"),
        ("POST", "/applications", {"slug": "a/b"}, "slug"),
        ("POST", "/applications", {"slug": 5}, "slug"),
        ("POST", "/applications", {}, "slug"),
        ("POST", "/applications", {"slug": "zz", "requests_per_minute": 0}, "requests_per_minute"),
        ("POST", "/applications", {"slug": "zz", "colour": 1}, "colour"),
        ("POST", "/applications", b"", None),
        ("POST", "/applications", b"{", None),
        ("POST", "/applications", b"[]", None),
        ("PUT", "/applications/{app}", {"slug": "other"}, "slug"),
        ("PUT", "/applications/{app}", {"requests_per_minute": -1}, "requests_per_minute"),
        ("POST", "/applications/{app}/keys", {"expires_in_seconds": 0}, "expires_in_seconds"),
        ("POST", "/applications/{app}/keys", {"expires_in_seconds": 10**12}, "expires_in_seconds"),
        ("POST", "/applications/{app}/keys", {"requests_per_minute": 0}, "requests_per_minute"),
        ("POST", "/applications/{app}/regenerate-key", {"grace_seconds": -1}, "grace_seconds"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "tokens", "amount": 1}, "window"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "tokens", "amount": -1, "window": "day"}, "amount"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "tokens", "amount": 2**53, "window": "day"}, "amount"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "team", "metric": "tokens", "amount": 1, "window": "day"}, "scope"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "concurrency", "amount": 1, "window": "day"}, "window"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "user", "metric": "concurrency", "amount": 1, "mode": "leased"}, "mode"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "application", "metric": "concurrency", "amount": 1, "match": "y"}, "match"),
        ("PUT", "/applications/{app}/limits/x", {"scope": "key", "metric": "tokens", "amount": 1, "window": "day", "on_store_error": "closed", "local_amount": 1}, "local_amount"),
        ("PUT", "/applications/{app}/limits/A B", {"scope": "key", "metric": "tokens", "amount": 1, "window": "day"}, "name"),
        ("GET", "/applications/{app}/limits/usage?" + "&".join(f"user={i}" for i in range(101)), b"", "user"),
        ("POST", "/prompts", {**VALID, "slug": "a b"}, "slug"),
        ("POST", "/prompts", {**VALID, "slug": "search"}, "slug"),
        ("POST", "/prompts", {**VALID, "labels": []}, "labels"),
        ("POST", "/prompts", {**VALID, "tags": "x"}, "tags"),
        ("POST", "/prompts", {"slug": "p"}, "content"),
        ("POST", "/prompts", {"slug": "p", "content": {}}, "content.messages"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", modle="y")}, "content.modle"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", format="latex")}, "content.format"),
        ("POST", "/prompts", {"slug": "p", "content": {"messages": [{"type": "message", "role": "boss", "content": ""}]}}, "content.messages[0].role"),
        ("POST", "/prompts", {"slug": "p", "content": text("x"), "system_prompt": "y"}, "system_prompt"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", params={"messages": []})}, "params.messages"),
        ("POST", "/prompts", {"slug": "p", "content": text("{{ x | nofilter }}")}, "messages[0].content"),
        ("POST", "/prompts", {"slug": "p", "content": text("{% if %}")}, "messages[0].content"),
        ("POST", "/prompts", {"slug": "p", "content": text("x", variables={"type": "wrong"})}, "variables"),
        ("POST", "/prompts/team~greet/versions", {"content": 5}, "content"),
        ("POST", "/prompts/team~greet/versions", {"content": "x", "required_fields": [{"name": "a", "type": "date"}]}, "required_fields[0].type"),
        ("POST", "/prompts/a b/versions", {"content": "x"}, "slug"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"wait_timeout_ms": 0}, "wait_timeout_ms"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"expected_version": "x"}, "expected_version"),
        ("POST", "/prompts/team~greet/versions/0/publish", {}, "version"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"alias": "LATEST!"}, "alias"),
        ("POST", "/prompts/team~greet/versions/1/publish", {"alias": "latest"}, "alias"),
        ("GET", "/prompts/team~greet/versions/!", b"", "version"),
        ("GET", "/prompts/team~greet/diff?from=1", b"", "to"),
        ("PUT", "/prompts/team~greet/aliases/x", {}, "version"),
        ("PUT", "/prompts/team~greet", {"content": "x"}, "content"),
        ("GET", "/prompts?limit=0", b"", "limit"),
        ("GET", "/prompts?limit=101", b"", "limit"),
        ("GET", "/prompts/search", b"", "q"),
        ("GET", "/calls?since=yesterday", b"", "since"),
        ("GET", "/calls?cursor=nonsense", b"", "cursor"),
        ("GET", "/calls?trace_id=4bf92f35", b"", "trace_id"),
        ("GET", "/calls/nonsense", b"", "call_id"),
    ],
)  # fmt: skip
def test_a_bad_request_names_its_field(
    control: Control, app: str, prompt: str, method: str, path: str, body: Any, param: str | None
):
    joint = "&" if "?" in path else "?"
    where = "" if path.startswith(("/applications", "/calls")) else f"{joint}application={app}"
    status, _, named, message = control.refused(method, path.replace("{app}", app) + where, body)
    assert (status, named) == (400, param), message
    assert param is None or param.split(".")[-1].split("[")[0] in message


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "param"),
    [
        ("GET", "/applications/nobody", b"", "not_found", "application"),
        ("GET", "/prompts/nobody", b"", "prompt_not_found", None),
        ("GET", "/prompts/team~greet/versions/9", b"", "not_found", "version"),
        ("GET", "/prompts/team~greet/versions/canary", b"", "not_found", "version"),
        ("POST", "/prompts/team~greet/versions/9/publish", {}, "not_found", "version"),
        ("POST", "/prompts/team~greet/aliases/canary/rollback", {}, "not_found", "alias"),
        ("DELETE", "/prompts/team~greet/aliases/canary", b"", "not_found", "alias"),
        ("DELETE", "/applications/{app}/keys/nokey", b"", "not_found", "key"),
        ("DELETE", "/applications/{app}/limits/none", b"", "not_found", "name"),
        ("GET", "/applications/{app}/limits/none", b"", "not_found", "name"),
        ("GET", "/applications/nobody/limits", b"", "not_found", "application"),
        ("GET", "/calls/00000000-0000-7000-8000-000000000000", b"", "not_found", "call_id"),
    ],
)
def test_what_is_not_there_is_a_404(
    control: Control, app: str, prompt: str, method: str, path: str, body: Any, code: str, param: str | None
):
    where = "" if path.startswith(("/applications", "/calls")) else f"?application={app}"
    status, found, named, _ = control.refused(method, path.replace("{app}", app) + where, body)
    assert (status, found) == (404, code)
    assert param is None or named == param


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", "/applications", ["slug", "name", "description", "default_model", "requests_per_minute"]),
        (
            "POST",
            "/applications/{app}/keys",
            ["name", "requests_per_minute", "expires_in_seconds", "scopes", "prompts", "models"],
        ),
        (
            "POST",
            "/prompts",
            ["slug", "content", "description", "tags", "message", "semver", "system_prompt", "required_fields"],
        ),
        ("POST", "/prompts/team~greet/versions", ["content", "message", "semver", "base_version", "model_params", "format"]),
        ("POST", "/prompts/team~greet/versions/1/publish", ["alias", "expected_version", "message", "wait_timeout_ms"]),
        ("PUT", "/prompts/team~greet/aliases/a", ["version", "expected_version", "message"]),
        ("PUT", "/prompts/team~greet", ["description", "tags", "is_active"]),
        ("PUT", "/applications/{app}/limits/n", ["scope", "match", "metric", "amount", "window", "local_amount", "shadow"]),
    ],
)
def test_no_value_is_our_fault(control: Control, app: str, prompt: str, method: str, path: str, fields: list[str]):
    good: dict[str, Any] = {"/applications": {"slug": f"n{app}"}, "/prompts": {"slug": "n", "content": "x"}}.get(path, {})
    if path.endswith("/versions"):
        good = {"content": "x"}
    if path.endswith("/a"):
        good = {"version": 1}
    if path.endswith("/n"):
        good = {"scope": "user", "metric": "tokens", "amount": 1, "window": "day"}
    for field in fields:
        for value in NASTY:
            body = escaped_json({**good, field: value})
            answer = control.http.request(method, path.replace("{app}", app), content=body, params={"application": app})
            assert answer.status_code < 500, (field, value, answer.text)
            assert answer.status_code < 300 or set(answer.json()["error"]) == {"message", "type", "code", "param"}


@pytest.mark.parametrize("text", ["%00", "%FF", "%F0%9F%98%80", "..", "%2E%2E", "x" * 5000, "a%0Ab", "%25", "~", "%2F"])
def test_no_path_or_query_is_our_fault(control: Control, app: str, prompt: str, text: str):
    for path in (
        f"/prompts/{text}", f"/prompts/{text}/versions", f"/prompts/team~greet/versions/{text}", f"/applications/{text}",
        f"/prompts/team~greet/aliases/{text}/history", f"/calls/{text}", f"/prompts?cursor={text}", f"/prompts?q={text}",
        f"/prompts?tag={text}", f"/prompts?folder={text}", f"/applications?cursor={text}", f"/calls?prompt={text}",
        f"/calls?cursor={text}", f"/calls?until={text}", f"/prompts/team~greet/versions?cursor={text}", f"/prompts?application={text}",
    ):  # fmt: skip
        answer = control.http.get(
            path, headers={} if "application=" in path or path.startswith("/calls") else {"x-application": app}
        )
        assert answer.status_code < 500, (path, answer.text)


def test_the_application_must_be_clear(control: Control, app: str):
    control.ask("POST", "/applications", {"slug": f"{app}-second"}, 201)
    status, _, param, message = control.refused("GET", "/prompts", b"")
    assert (status, param) == (400, "application")
    assert "several" in message
    answer = control.http.get("/prompts", params={"application": app}, headers={"x-application": "other"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "contradictory_reference")
    assert control.http.get("/prompts", headers={"x-application": app}).json() == {"items": [], "next_cursor": None}


# --- operations ---------------------------------------------------------------------------------------------------


def test_calls_are_listed_filtered_paged_and_read(control: Control, app: str):
    application_id = control.ask("GET", f"/applications/{app}")["id"]
    rows: list[LedgerRow] = []
    for prompt, outcome in (("a", "ok"), ("b", "ok"), ("a", "blocked")):
        rows.append(row(application_id, prompt, outcome))
        time.sleep(0.002)

    async def land() -> None:
        writer = PostgresCallWriter(control.database)
        await writer.prepare(time.time_ns() // 1_000_000)
        await writer.write(rows)
        await writer.close()

    rows[1].trace_id = rows[2].trace_id = trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    asyncio.run(land())

    def ids(**query: Any) -> list[str]:
        return [c["call_id"] for c in control.ask("GET", "/calls", None, 200, application=app, **query)["items"]]

    newest_first = [r.call_id for r in reversed(rows)]
    assert ids() == newest_first
    assert ids(prompt="a") == [newest_first[0], newest_first[2]]
    assert ids(outcome="blocked") == newest_first[:1]
    assert (ids(trace_id=trace.upper()), ids(trace_id=trace, prompt="a")) == (newest_first[:2], newest_first[:1])
    call = (first := control.ask("GET", "/calls", None, 200, application=app, limit=1))["items"][0]
    assert (call["outcome"], call["cost_nano"], call["ended"], call["finish_reason"]) == ("blocked", 5, True, None)
    assert (ids(until=call["started_at"]), ids(since=call["started_at"])) == (newest_first[1:], newest_first[:1])
    assert ids(cursor=first["next_cursor"]) == newest_first[1:]
    assert [c["call_id"] for c in control.ask("GET", f"/calls/{newest_first[1]}", None, 200)["items"]] == [newest_first[1]]
    tail = control.json("calls", "tail", "--prompt", "a", app=app)
    assert [c["call_id"] for c in tail if c["application_id"] == application_id] == [newest_first[2], newest_first[0]]
    assert control.cli("calls", "tail", "--trace", trace, app=app).stdout.count(trace) == 2


def test_status_asks_every_probe(control: Control):
    found = control.ask("GET", "/status", None, 200)
    assert found["ok"] is True
    assert [c["name"] for c in found["checks"]] == ["generation"]
