"""``run`` through the real openai SDK, against a server that behaves and misbehaves as told."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from admin_cli.main import main

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chunk(text: str | None, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return b"data: " + msgspec.json.encode({**CHUNK, "choices": [choice]}) + b"\n\n"


class Upstream(ThreadingHTTPServer):
    """Answers every POST with one prepared answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.type = "text/event-stream"
        self.body = b""
        self.asked: list[tuple[str, dict[str, str], Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(server.status)
        self.send_header("content-type", server.type)
        self.send_header("content-length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(upstream: Upstream, folder: Path, monkeypatch: pytest.MonkeyPatch, *args: str) -> Result:
    monkeypatch.chdir(folder)
    env = {"PROMPTGATE_URL": upstream.url, "OPENAI_API_KEY": "pg_key", "OPENAI_BASE_URL": f"{upstream.url}/v1"}
    return CliRunner().invoke(main, ["run", *args], env=env)


def test_the_answer_is_streamed_to_standard_output(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    upstream.body = chunk("Hello ") + chunk("\x1b[1mworld") + chunk(None, "stop") + b"data: [DONE]\n\n"
    done = run(upstream, tmp_path, monkeypatch, "faq-bot@staging", "Hi", "--var", "n=3", "--var", "who=Ann")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "Hello \x1b[1mworld\n", "a pipe gets the bytes unchanged"
    path, headers, body = upstream.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer pg_key"
    assert body["prompt"] == {"id": "faq-bot@staging", "variables": {"n": 3, "who": "Ann"}}
    assert body["messages"] == [{"role": "user", "content": "Hi"}]
    assert body["stream"] is True


def test_json_is_the_whole_answer(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answer = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
    }
    upstream.type, upstream.body = "application/json", msgspec.json.encode(answer)
    done = run(upstream, tmp_path, monkeypatch, "faq-bot", "--json", "--model", "gpt")
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(done.stdout) == answer
    assert upstream.asked[0][2]["model"] == "gpt"
    assert upstream.asked[0][2]["messages"] == []


def test_a_refusal_ends_with_one_and_says_why(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    error = {"message": "no prompt nobody", "type": "invalid_request_error", "param": "prompt", "code": "prompt_not_found"}
    upstream.status, upstream.type, upstream.body = 404, "application/json", msgspec.json.encode({"error": error})
    done = run(upstream, tmp_path, monkeypatch, "nobody")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "Error: no prompt nobody\n")
    scripted = run(upstream, tmp_path, monkeypatch, "nobody", "--json")
    assert (scripted.exit_code, msgspec.json.decode(scripted.stdout)) == (1, {"error": error})


def test_an_error_inside_the_stream_ends_with_one(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    error = {"error": {"message": "the provider hung up", "type": "server_error", "code": "upstream_incomplete"}}
    upstream.body = chunk("Hel") + b"data: " + msgspec.json.encode(error) + b"\n\n"
    done = run(upstream, tmp_path, monkeypatch, "faq-bot")
    assert (done.exit_code, done.stdout) == (1, "Hel\n")
    assert "the provider hung up" in done.stderr


def test_a_stream_cut_short_ends_with_one(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    upstream.body = chunk("Hel")
    done = run(upstream, tmp_path, monkeypatch, "faq-bot")
    assert (done.exit_code, done.stdout) == (1, "Hel\n")
    assert "broke off" in done.stderr


def test_nobody_there(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    env = {"PROMPTGATE_URL": "http://127.0.0.1:9", "OPENAI_API_KEY": "pg_key", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = CliRunner().invoke(main, ["run", "faq-bot"], env=env)
    assert done.exit_code == 1
    assert "cannot reach the gateway at http://127.0.0.1:9/v1" in done.stderr


@pytest.mark.parametrize("args", [("--var", "novalue"), ("--var", "=x"), ("--file", "list.json"), ("--file", "absent.json")])
def test_bad_variables_are_wrong_usage(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, str]
):
    (tmp_path / "list.json").write_text("[1]")
    done = run(upstream, tmp_path, monkeypatch, "faq-bot", *args)
    assert done.exit_code == 2
    assert upstream.asked == []
