import msgspec

from gateway.core.upstream import HttpRequest
from gateway.providers.echo import echo
from gateway.providers.openai import OpenAITranslator


def request(**body: object) -> HttpRequest:
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "tell me a tale"}]
    return HttpRequest("/chat/completions", (), msgspec.json.encode({"model": "m", "messages": messages, **body}))


def test_it_answers_what_it_was_asked_with_usage() -> None:
    status, headers, pieces = echo(request())
    assert status == 200
    assert headers[b"content-type"] == b"application/json"
    event = OpenAITranslator().answer(b"".join(pieces), "chat")
    assert event.texts == ((0, "echo: tell me a tale"),)
    assert event.finish == "stop"
    assert event.usage is not None
    assert (event.usage.input, event.usage.output) == (6, 5)


def test_it_is_deterministic() -> None:
    assert echo(request(seed=1)) == echo(request(seed=1))
    assert echo(request(seed=1)) != echo(request(seed=2))


def test_the_stream_says_the_same_as_the_whole_answer() -> None:
    decoder = OpenAITranslator().decoder("chat")
    _, headers, pieces = echo(request(stream=True, n=2))
    assert headers[b"content-type"] == b"text/event-stream"
    events = [event for piece in pieces for event in decoder.feed(piece)]
    decoder.end()
    for choice in (0, 1):
        assert "".join(t for e in events for c, t in e.texts if c == choice) == "echo: tell me a tale"
    assert events[-1].usage_only
    assert events[-1].usage is not None
    assert events[-1].usage.output == 10


def test_it_respects_max_tokens() -> None:
    _, _, pieces = echo(request(max_tokens=2))
    event = OpenAITranslator().answer(b"".join(pieces), "chat")
    assert event.texts == ((0, "echo: tell"),)
    assert event.finish == "length"
