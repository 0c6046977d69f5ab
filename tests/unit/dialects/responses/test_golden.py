"""A whole call against its golden files: the chat call that is made, and the events that come back."""

from pathlib import Path

import msgspec

from gateway.core.upstream import Target, UpstreamCall
from gateway.dialects.responses.dialect import RESPONSES_DIALECT
from gateway.providers.openai import OpenAITranslator
from tests.unit.dialects.responses.conftest import inbound

GOLDEN = Path(__file__).parents[3] / "golden" / "responses"


def test_the_chat_call() -> None:
    request = RESPONSES_DIALECT.read(inbound((GOLDEN / "agent.request.json").read_bytes()))
    assert request.untranslatable is None
    call = UpstreamCall(request.model, request.messages, request.stream, request.fields)
    sent = OpenAITranslator().request(Target("p", "gpt-4o", "http://x", ""), call)
    assert sent.path == "/chat/completions"
    assert msgspec.json.decode(sent.body) == msgspec.json.decode((GOLDEN / "agent.chat.json").read_bytes())


def test_the_events() -> None:
    given = inbound((GOLDEN / "agent.request.json").read_bytes())
    framer = RESPONSES_DIALECT.framer(RESPONSES_DIALECT.read(given), given, native=False)
    decoder = OpenAITranslator().decoder("chat")
    events = decoder.feed((GOLDEN / "agent.chat.sse").read_bytes())
    decoder.end()
    stream = framer.frames(events) + framer.end(events[-1].usage, 350_000)
    assert stream.decode() == (GOLDEN / "agent.events.sse").read_text()
