"""What the scenarios share: where the gateway is, with which key, and how an answer is judged."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
import os
import time
from typing import Any

from locust import FastHttpUser, events

PROMPT = os.environ.get("PROMPTGATE_DEMO_PROMPT", "")
"""Ask for this prompt if it is set (``make up`` sets it), else pass a plain model name through."""
MODEL = os.environ.get("LOAD_MODEL", "gpt-4o-mini")
QUESTION = "What are your opening hours on a public holiday, and may I return a parcel on such a day?"


def base_url() -> str:
    """``OPENAI_BASE_URL``, as the openai SDK reads it."""
    return os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1").rstrip("/")


def chat_body(*, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
    if PROMPT:
        body |= {"model": PROMPT}
    return body


class Caller(FastHttpUser):
    """An application that speaks to the gateway as the openai SDK would."""

    abstract = True
    host = base_url()

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}", "content-type": "application/json"}

    def ask(self) -> None:
        """One whole answer; it counts as failed unless it holds a message."""
        with self.client.post(
            "/chat/completions", json=chat_body(stream=False), headers=self.headers(), name="chat", catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code} {(answer.text or '')[:120]}")
            elif '"message"' not in (answer.text or ""):
                answer.failure("200 without a message")

    def ask_streamed(self) -> None:
        """One stream, read to its end: time to the first event is reported apart as ``first event``."""
        began = time.perf_counter()
        first: float | None = None
        last = b""
        with self.client.post(
            "/chat/completions",
            json=chat_body(stream=True),
            headers=self.headers(),
            name="stream",
            stream=True,
            catch_response=True,
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code} {(answer.text or '')[:120]}")
                return
            for piece in answer.iter_content(8192, decode_content=False):
                first = first or time.perf_counter() - began
                assert isinstance(piece, bytes)
                last = (last + piece)[-32:]
            if not last.endswith(b"data: [DONE]\n\n"):
                answer.failure("the stream did not end with [DONE]")
        if first is not None:
            events.request.fire(
                request_type="SSE",
                name="first event",
                response_time=first * 1000,
                response_length=0,
                exception=None,
                context={},
            )
