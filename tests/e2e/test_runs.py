"""The run endpoints and explain on the real process: versions executed, drafts tried, calls explained, and what the ledger says."""

import time
import uuid
from typing import Any

import pytest
from click.testing import CliRunner

from admin_cli.main import main

DRAFT = {
    "messages": [{"type": "message", "role": "user", "content": "Say {{ word }}"}],
    "guardrails": {"pre_validation": {"prohibited_terms": ["bomb"]}},
}
SECONDS = 60


@pytest.fixture(scope="module")
def gateway(gateway_process: Any) -> Any:
    """The demo, and a prompt ``tried`` with a published version 1 and a draft 2."""
    with gateway_process.admin(base_url=f"{gateway_process.url}/api/v1") as api:
        first = {"messages": [{"type": "message", "role": "user", "content": "One {{ word }}"}]}
        api.post("/prompts", json={"slug": "tried", "content": first}).raise_for_status()
        api.post("/prompts/tried/versions", json={"content": DRAFT}).raise_for_status()
        api.post("/prompts/tried/versions/1/publish", json={"wait": True}).raise_for_status()
    return gateway_process


def row(gateway: Any, user: str) -> Any:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = gateway.rows('SELECT * FROM calls WHERE "user" = $1', user)
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.05)
    pytest.fail(f"no row of {user}; log:\n{gateway.log}")


@pytest.mark.parametrize("version", ["1", "latest"])
def test_a_published_version_is_executed_by_the_applications_key(gateway: Any, version: str) -> None:
    user = str(uuid.uuid4())
    with gateway.client() as client:
        answer = client.post(f"/api/v1/execute/tried/{version}", json={"variables": {"word": "hi"}, "user": user})
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "echo: One hi"
        assert client.post("/api/v1/execute/tried/2", json={}).status_code == 404
    assert row(gateway, user)["door"] == "execute"


@pytest.mark.parametrize("what", [{"content": DRAFT}, {"prompt": "tried@draft"}, {"prompt": "tried:2"}])
def test_a_draft_is_tried_by_the_operator_only(gateway: Any, what: dict[str, Any]) -> None:
    user = str(uuid.uuid4())
    body = {**what, "variables": {"word": "hi"}, "user": user}
    with gateway.client() as client:
        assert client.post("/api/v1/test-prompt", json=body).status_code == 401
    with gateway.admin() as client:
        answer = client.post("/api/v1/test-prompt", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "echo: Say hi"
        with client.stream("POST", "/api/v1/test-prompt", json={**body, "user": "other", "stream": True}) as stream:
            assert stream.read().endswith(b"data: [DONE]\n\n")
        blocked = client.post("/api/v1/test-prompt", json={**body, "user": "third", "variables": {"word": "bomb"}})
        assert blocked.json()["error"]["code"] == "guardrail_blocked"
        assert client.get("/api/v1/test-prompt").status_code == 405
    found = row(gateway, user)
    assert (found["door"], found["alias"], found["outcome"]) == ("test", "draft", "ok")
    assert found["prompt"] == ("tried" if "prompt" in what else "unsaved")


def test_a_call_is_explained_as_it_then_is_made(gateway: Any) -> None:
    user = str(uuid.uuid4())
    body = {"model": "tried", "messages": [], "variables": {"word": "hi"}, "user": user}
    with gateway.client() as client:
        told = client.post("/v1/explain", json=body).raise_for_status().json()
        made = client.post("/v1/chat/completions", json=body).raise_for_status()
        refused = client.post("/v1/explain", json={**body, "variables": {}}).raise_for_status().json()
    assert told["answerable"] is True
    assert told["resolve"]["prompt"] == made.headers["x-prompt"]
    assert told["route"][0]["provider"] == made.headers["x-provider"]
    assert told["render"]["messages"] == [{"role": "user", "content": "One hi"}]
    assert (refused["refused_by"], refused["error"]["kind"]) == ("render", "missing_variable")
    row(gateway, user)
    shown = CliRunner().invoke(main, ["explain", "tried", "--var", "word=hi"], env=gateway.env, catch_exceptions=False)
    assert f"prompt    {made.headers['x-prompt']}\n" in shown.stdout
    assert "[user]\nOne hi\n" in shown.stdout


def test_the_page_of_the_api_knows_them(gateway: Any) -> None:
    with gateway.client() as client:
        paths = client.get("/api/v1/docs/openapi.json").raise_for_status().json()["paths"]
    assert {"/v1/explain", "/api/v1/execute/{prompt_id}/{version}", "/api/v1/test-prompt"} <= paths.keys()
