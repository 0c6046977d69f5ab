"""Guards from outside on the real process: a service that is asked over HTTP, and a plug-in from a package of its own."""

import hashlib
import hmac
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.e2e.conftest import ROOT, GatewayProcess, plain_environment

SECRET = b"e2e-guard-secret"
PATIENCE_S = 40


class Rules(BaseHTTPRequestHandler):
    """A guard service: blocks texts that say ``rule seven``. Keeps what it was asked, and whether the signature was right."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[dict[str, Any], bool]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        given = dict(part.split("=", 1) for part in self.headers["x-promptgate-signature"].split(","))
        made = hmac.new(SECRET, given["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        question = msgspec.json.decode(body)
        self.asked.append((question, hmac.compare_digest(made, given["v1"])))
        blocks = any("rule seven" in text for text in question["texts"])
        answer = msgspec.json.encode({"action": "block", "what": "rule_7"} if blocks else {"action": "allow"})
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """The URL of a guard service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rules)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/judge"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def gateway(
    start_gateway: Callable[..., GatewayProcess], service: str, server_folder: Path, example_folder: Path
) -> GatewayProcess:
    """One worker that knows the service and the plug-in."""
    config = server_folder / "guarded" / "config"
    shutil.copytree(ROOT / "config", config)
    with (config / "gateway.toml").open("a") as file:
        file.write(f'\n[guards.endpoints.rules]\nurl = "{service}"\n')
    return start_gateway(
        PROMPTGATE_CONFIG=str(config),
        PROMPTGATE_GUARDS_ENDPOINTS_RULES_SECRET=SECRET.decode(),
        PYTHONPATH=str(example_folder),
    )


def say(client: httpx.Client, text: str, **more: Any) -> httpx.Response:
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], **more}
    return client.post("/v1/chat/completions", json=body)


def until(seen: Callable[[], Any]) -> Any:
    """What is seen once it is there."""
    end = time.monotonic() + PATIENCE_S
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def guard(gateway: GatewayProcess, *validators: dict[str, Any]) -> httpx.Response:
    """Set the guardrails of the demo application."""
    with gateway.admin() as admin:
        slug = admin.get("/api/v1/applications").json()["items"][0]["slug"]
        return admin.put(f"/api/v1/applications/{slug}/guardrails", json={"pre_validation": {"validators": list(validators)}})


def test_a_plug_in_judges_every_call_of_an_application(gateway: GatewayProcess) -> None:
    loud = "I WANT MY MONEY BACK AND I WANT IT NOW"
    assert guard(gateway, {"type": "shouting", "options": {"share": 2}}).json()["error"]["param"] == (
        "guardrails.pre_validation.validators[0].options.share"
    )
    with gateway.client() as client:
        assert say(client, loud).status_code == 200
        assert guard(gateway, {"type": "shouting", "message": "Please, quietly."}).status_code == 200
        answer = until(lambda: (a := say(client, loud)).headers.get("x-guardrails") and a)
        assert answer.json()["choices"][0]["message"]["content"] == "Please, quietly."
        assert answer.headers["x-guardrails"] == 'pre:shouting;action=block;found="shouting"'
        assert say(client, "quietly").json()["choices"][0]["finish_reason"] == "stop"
    rows = until(lambda: gateway.rows("select outcome, status, guard, verdicts from calls where guard is not null"))
    assert [tuple(row) for row in rows] == [
        ("blocked", 200, "pre:shouting", ['pre:shouting;action=block;found="shouting"'])
    ]  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
def test_a_service_is_asked_with_a_signature_and_its_block_is_an_error(gateway: GatewayProcess, streamed: bool) -> None:
    assert guard(gateway, {"type": "http", "name": "house", "options": {"endpoint": "rules"}}).status_code == 200
    Rules.asked.clear()
    with gateway.client() as client:
        refused = until(lambda: (a := say(client, "what does rule seven say?", stream=streamed)).status_code == 400 and a)
        assert refused.json()["error"]["param"] == "pre:house"
        assert refused.headers["x-guardrails"] == 'pre:house;action=block;found="rule_7"'
        assert say(client, "what does rule eight say?", stream=streamed).status_code == 200
        metrics = until(lambda: (t := client.get("/metrics").text) and 'guard="http"' in t and t)
    assert 'promptgate_guard_findings_total{action="block",guard="http",stage="pre"}' in metrics
    assert all(signed for _, signed in Rules.asked)
    assert {question["application"] for question, _ in Rules.asked} == {"demo"}


def test_a_service_judges_the_tools_of_a_request(gateway: GatewayProcess) -> None:
    assert (
        guard(gateway, {"type": "http", "name": "tools", "options": {"endpoint": "rules"}, "stage": "tools"}).status_code == 200
    )
    tools = [{"type": "function", "function": {"name": "mail", "description": "what rule seven is for", "parameters": {}}}]
    history = [
        {"role": "user", "content": "rule seven in a text is nobody's affair"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "mail", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "sent"},
    ]
    with gateway.client() as client:
        refused = until(lambda: (a := say(client, "Hi", tools=tools)).status_code == 400 and a)
        assert refused.json()["error"]["param"] == "pre:tools"
        assert refused.headers["x-guardrails"] == 'tools:tools;action=block;found="rule_7"'
        Rules.asked.clear()
        assert say(client, "", messages=history).status_code == 200
    ((question, signed),) = Rules.asked
    assert (question["texts"], question["roles"], signed) == (["mail", "{}"], ["tool_name", "tool_arguments"], True)


def test_an_endpoint_that_nobody_configured_is_refused_when_it_is_written(gateway: GatewayProcess) -> None:
    unknown = {"type": "presidio", "options": {"endpoint": "ruless"}}
    refused = guard(gateway, unknown)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "guardrails.pre_validation.validators[0].options.endpoint"
    with gateway.admin() as admin:
        rails = {"post_validation": {"validators": [unknown]}}
        content = {"messages": [{"type": "message", "role": "system", "content": "x"}], "guardrails": rails}
        refused = admin.post("/api/v1/prompts", json={"slug": "outside", "content": content})
        assert refused.json()["error"]["param"] == "guardrails.post_validation.validators[0].options.endpoint", refused.text
        unknown["options"] = {"endpoint": "rules"}
        assert admin.post("/api/v1/prompts", json={"slug": "outside", "content": content}).status_code == 201


def test_a_plug_in_that_cannot_be_loaded_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[promptgate.guards]\nbroken = no_such_module:GUARD\n")
    environ = {
        **plain_environment(),
        "PYTHONPATH": str(tmp_path),
        "PROMPTGATE_DATABASE_URL": "postgresql://u@127.0.0.1:1/none",
        "PROMPTGATE_REDIS_URL": "redis://127.0.0.1:1/0",
        "PROMPTGATE_STORAGE_DIRECTORY": str(tmp_path / "storage"),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", "serve"], env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "plug-in 'broken' (no_such_module:GUARD) cannot be loaded: ModuleNotFoundError" in ended.stderr
