"""Small fakes of vendors' own APIs: Gemini, Cohere, Bedrock and Azure, by the first part of the path.

A model whose name ends in ``-tools`` calls a function, in ``-limited`` has no quota left, in ``-cut`` ends its stream in the middle,
in ``-filtered`` refuses the prompt, in ``-signed`` calls a function after signed thoughts, and wants these back with its result;
every other one says what it was asked. Bedrock checks signatures.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import msgspec

from gateway.providers.sigv4 import Credentials, Request, Scope, sign
from tests.unit.providers.golden import stream_bytes

KEYS = Credentials("AKIDEXAMPLE", "secret-of-bedrock", "token-of-bedrock")
REGION = "eu-central-1"
ARGUMENTS = {"city": "Paris"}

Whole = dict[str, Any]
Answer = tuple[int, dict[str, str], "Whole | list[Any]"]
"""Status, headers, and a whole answer or the events of a stream."""


def gemini(model: str, body: dict[str, Any], *, stream: bool) -> Answer:
    if model.endswith("-limited"):
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
        error = {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED", "details": [delay]}
        return 429, {}, {"error": error}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "cachedContentTokenCount": 5}
    base = {"modelVersion": model, "responseId": "r-1"}

    def answer(parts: list[Any], finish: str | None = None) -> Whole:
        candidate = {"content": {"parts": parts, "role": "model"}, "index": 0} | ({"finishReason": finish} if finish else {})
        return {"candidates": [candidate], "usageMetadata": usage, **base}

    if model.endswith("-signed"):
        call = {"functionCall": {"name": "get_weather", "args": ARGUMENTS, "id": "c1"}, "thoughtSignature": "Z2VtaW5p"}
        thought = {"text": "Look it up.", "thought": True}
        if len(body["contents"]) == 1:
            return 200, {}, [answer([thought]), answer([call], "STOP")] if stream else answer([thought, call], "STOP")
        if body["contents"][1]["parts"][-1] != call:
            return 400, {}, {"error": {"code": 400, "message": "Function call is missing a thought_signature.", "details": []}}
        return 200, {}, answer([{"text": "sunny"}], "STOP")
    if model.endswith("-filtered"):
        blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 11}, **base}
        return 200, {}, [blocked] if stream else blocked
    said = body["contents"][-1]["parts"][-1].get("text", "a result")
    parts = [{"functionCall": {"name": "get_weather", "args": ARGUMENTS}}] if model.endswith("-tools") else [{"text": said}]
    if not stream:
        return 200, {}, answer(parts, "STOP")
    return 200, {}, [answer([{"text": ""}]), answer(parts), *([] if model.endswith("-cut") else [answer([], "STOP")])]


def cohere(model: str, body: dict[str, Any], *, stream: bool) -> Answer:
    if model.endswith("-limited"):
        return 429, {"retry-after": "7"}, {"message": "Too many calls."}
    tools, usage = model.endswith("-tools"), {"billed_units": {"input_tokens": 11, "output_tokens": 3}}
    said, finish = body["messages"][-1]["content"], "TOOL_CALL" if tools else "COMPLETE"
    function = {"name": "get_weather", "arguments": msgspec.json.encode(ARGUMENTS).decode()}
    call = {"id": "get_weather_1", "type": "function", "function": function}
    if not stream:
        message = {"role": "assistant", "tool_calls": [call]} if tools else {"content": [{"type": "text", "text": said}]}
        return 200, {}, {"id": "c-1", "finish_reason": finish, "message": message, "usage": usage}
    step: list[Any] = [{"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": said}}}}]
    if tools:
        step = [{"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}}]
    end = {"type": "message-end", "delta": {"finish_reason": finish, "usage": usage}}
    return 200, {}, [{"type": "message-start", "id": "c-1"}, *step, *([] if model.endswith("-cut") else [end])]


def bedrock(model: str, body: dict[str, Any], *, stream: bool) -> Answer:
    if model.endswith("-limited"):
        return 429, {"x-amzn-errortype": "ThrottlingException"}, {"message": "Too many requests."}
    if model.endswith("-signed"):
        return signed_bedrock(body, stream=stream)
    tools, usage = model.endswith("-tools"), {"inputTokens": 6, "outputTokens": 3, "totalTokens": 14, "cacheReadInputTokens": 5}
    said, reason = body["messages"][-1]["content"][-1].get("text", "a result"), "tool_use" if tools else "end_turn"
    use = {"toolUseId": "tooluse_1", "name": "get_weather"}
    if not stream:
        content = [{"toolUse": {**use, "input": ARGUMENTS}}] if tools else [{"text": said}]
        return 200, {}, {"output": {"message": {"content": content}}, "stopReason": reason, "usage": usage}
    text = msgspec.json.encode(ARGUMENTS).decode()
    events: list[Any] = [{"messageStart": {"role": "assistant"}}]
    if tools:
        events.append({"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": use}}})
        events.append({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": text[:5]}}}})
        events.append({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": text[5:]}}}})
    else:
        events.append({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": said}}})
    if not model.endswith("-cut"):
        events += [{"contentBlockStop": {"contentBlockIndex": 0}}, {"messageStop": {"stopReason": reason}}]
        events.append({"metadata": {"usage": usage}})
    return 200, {}, events


def signed_bedrock(body: dict[str, Any], *, stream: bool) -> Answer:
    usage = {"inputTokens": 6, "outputTokens": 3, "totalTokens": 9}
    thought = {"reasoningText": {"text": "Look it up.", "signature": "YmVkcm9jaw=="}}
    use = {"toolUseId": "tooluse_1", "name": "get_weather"}
    content: list[Any] = [{"reasoningContent": thought}, {"toolUse": {**use, "input": ARGUMENTS}}]
    if len(body["messages"]) > 1:
        if body["messages"][1]["content"] != content:
            return 400, {"x-amzn-errortype": "ValidationException"}, {"message": "Expected the thinking block as it was."}
        return 200, {}, {"output": {"message": {"content": [{"text": "sunny"}]}}, "stopReason": "end_turn", "usage": usage}
    if not stream:
        return 200, {}, {"output": {"message": {"content": content}}, "stopReason": "tool_use", "usage": usage}
    deltas = [{"text": "Look it "}, {"text": "up."}, {"signature": "YmVkcm9jaw=="}]
    arguments = msgspec.json.encode(ARGUMENTS).decode()
    return (
        200,
        {},
        [
            {"messageStart": {"role": "assistant"}},
            *[{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": delta}}} for delta in deltas],
            {"contentBlockStop": {"contentBlockIndex": 0}},
            {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": use}}},
            {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": arguments}}}},
            {"contentBlockStop": {"contentBlockIndex": 1}},
            {"messageStop": {"stopReason": "tool_use"}},
            {"metadata": {"usage": usage}},
        ],
    )


def azure(model: str, body: dict[str, Any], *, stream: bool) -> Answer:
    if model.endswith("-limited"):
        return 429, {"retry-after": "7"}, {"error": {"code": "429", "message": "Too many tokens."}}
    if model.endswith("-filtered"):
        return 400, {}, {"error": {"message": "The prompt was filtered.", "param": "prompt", "code": "content_filter"}}
    tools, said = model.endswith("-tools"), body["messages"][-1]["content"]
    finish = "tool_calls" if tools else "stop"
    function = {"name": "get_weather", "arguments": msgspec.json.encode(ARGUMENTS).decode()}
    call = {"index": 0, "id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "content": None, "tool_calls": [call]} if tools else {"role": "assistant", "content": said}
    usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 5}}
    base = {"id": "a-1", "created": 1, "model": "gpt-4o"}
    if not stream:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return 200, {}, {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    base["object"] = "chat.completion.chunk"
    events: list[Any] = [
        {**base, "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        {**base, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
    ]
    if model.endswith("-cut"):
        return 200, {}, events
    events.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return 200, {}, [*events, {**base, "choices": [], "usage": usage}, "[DONE]"]


class Handler(BaseHTTPRequestHandler):
    """One call: who is asked, whether the credentials are right, and the answer in the vendor's framing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        body, vendor = msgspec.json.decode(data), self.path.split("/")[1]
        stream = body.get("stream", False) or "stream" in self.path.lower()
        if vendor == "gemini":
            found = re.fullmatch(r"/gemini/models/([^/:]+):(?:generateContent|streamGenerateContent\?alt=sse)", self.path)
            status, headers, answer = gemini(unquote(found[1]), body, stream=stream)
        elif vendor == "cohere" and self.path == "/cohere/chat":
            status, headers, answer = cohere(body["model"], body, stream=stream)
        elif vendor == "azure":
            found = re.fullmatch(r"/azure/deployments/([^/]+)/chat/completions\?api-version=2024-10-21", self.path)
            status, headers, answer = azure(unquote(found[1]), body, stream=stream)
        else:
            found = re.fullmatch(r"/bedrock/model/([^/]+)/converse(-stream)?", self.path)
            status, headers, answer = bedrock(unquote(found[1]), body, stream=stream)
        if not self.trusted(vendor, data):
            status, headers, answer = 403, {}, {"message": "who are you?"}
        binary = vendor == "bedrock"
        streamed = isinstance(answer, list)
        out = stream_bytes(vendor, answer) if streamed else msgspec.json.encode(answer)
        kinds = {(True, True): "application/vnd.amazon.eventstream", (True, False): "text/event-stream; charset=utf-8"}
        self.send_response(status)
        for name, value in {**headers, "content-type": kinds.get((streamed, binary), "application/json")}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(out)))
        self.end_headers()
        self.wfile.write(out)

    def trusted(self, vendor: str, data: bytes) -> bool:
        if vendor == "gemini":
            return self.headers["x-goog-api-key"] == "key-of-gemini"
        if vendor == "azure":
            return self.headers["api-key"] == "key-of-azure"
        if vendor == "cohere":
            return self.headers["authorization"] == "Bearer key-of-cohere"
        signed = {"content-type": "application/json", "host": self.headers["host"]}
        stamp = datetime.strptime(self.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs((datetime.now(UTC) - stamp).total_seconds()) > 300:
            return False
        wanted = sign(Request("POST", self.path, "", signed, data), KEYS, Scope(REGION, "bedrock"), int(stamp.timestamp()))
        return all(self.headers[name] == value for name, value in wanted.items())

    def log_message(self, *_: object) -> None:
        """Nothing: the tests' own output is enough."""


@contextmanager
def running() -> Iterator[str]:
    """The fakes on a port of their own; their base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
