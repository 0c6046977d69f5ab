"""A small upstream with both of OpenAI's dialects: ``python tests/e2e/both_dialects.py PORT``.

Deterministic: it answers how many messages or items it was given, calls a tool when it is offered one and not yet answered, and
gives JSON when it is asked for JSON. ``GET /seen`` tells the last request. Models named ``cut`` break off; ``fail`` fail mid-stream.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
NATIVE_USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 10,
}
seen: dict[str, Any] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.whole(200, seen)

    def do_POST(self) -> None:
        body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        seen.clear()
        seen.update(path=self.path, body=body)
        if body["model"] == "teapot":
            self.whole(418, {"error": {"message": "short and stout", "type": "invalid_request_error", "param": "tea"}})
        elif self.path.endswith("/responses"):
            self.native(body)
        else:
            self.chat(body)

    def chat(self, body: dict[str, Any]) -> None:
        messages = body["messages"]
        calls = [
            {"id": f"call_{tool['function']['name']}", "type": "function", "index": i,
             "function": {"name": tool["function"]["name"], "arguments": '{"city":"Oslo"}'}}
            for i, tool in enumerate(body.get("tools", []))
            if messages[-1]["role"] != "tool"
        ]  # fmt: skip
        text = f"{len(messages)} messages" if "response_format" not in body else '{"city":"Oslo","degrees":3}'
        finish = "tool_calls" if calls else "length" if body.get("max_tokens") == 1 else "stop"
        if not body.get("stream"):
            message = {"role": "assistant", "content": None if calls else text, "tool_calls": calls or None}
            choice = {"index": 0, "message": message, "finish_reason": finish}
            self.whole(200, {"id": "c", "object": "chat.completion", "model": "chat-up", "choices": [choice], "usage": USAGE})
            return
        self.begin()
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}]
        deltas += [{"tool_calls": [call]} for call in calls] or [{"content": word} for word in text.split(" ", 1)]
        for delta in deltas:
            self.event({"model": "chat-up", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        if body["model"] == "cut":
            return
        self.event({"model": "chat-up", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        self.event({"model": "chat-up", "choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def native(self, body: dict[str, Any]) -> None:
        text = f"{len(body['input'])} items"
        message: dict[str, Any] = {"id": "msg_up", "type": "message", "status": "completed", "role": "assistant"}
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        seen["number"] = seen.get("number", 0) + 1
        response = {
            "id": f"resp_up{body['model']}{len(body['input'])}", "object": "response", "created_at": 1, "status": "in_progress",
            "model": body["model"], "output": [], "parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools", []),
            "store": body["store"], "text": {"format": {"type": "text"}}, "usage": None,
        }  # fmt: skip
        done = {**response, "status": "completed", "output": [{**message, "content": [part]}], "usage": NATIVE_USAGE}
        if not body.get("stream"):
            self.whole(200, done)
            return
        self.begin()
        place = {"item_id": "msg_up", "output_index": 0, "content_index": 0}
        empty = {**part, "text": ""}
        steps: list[dict[str, Any]] = [
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**message, "status": "in_progress", "content": []},
            },
            {"type": "response.content_part.added", **place, "part": empty},
            {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []},
        ]
        if body["model"] == "fail":
            steps.append(
                {"type": "response.failed", "response": {**response, "error": {"code": "server_error", "message": "sorry"}}}
            )
        else:
            steps += [
                {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
                {"type": "response.content_part.done", **place, "part": part},
                {"type": "response.output_item.done", "output_index": 0, "item": done["output"][0]},
                {"type": "response.completed", "response": done},
            ]
        for number, step in enumerate(steps):
            self.event({**step, "sequence_number": number})

    def whole(self, status: int, body: object) -> None:
        data = msgspec.json.encode(body)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()

    def event(self, body: dict[str, Any]) -> None:
        self.wfile.write(b"data: " + msgspec.json.encode(body) + b"\n\n")

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
