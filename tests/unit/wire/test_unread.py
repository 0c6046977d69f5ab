"""What guards cannot read: told from text in messages and answers of the chat form."""

from typing import Any

import msgspec
import pytest

from gateway.wire.unread import unread_in_answer, unread_in_message

SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("message", "unread"),
    [
        ({"role": "user", "content": "Hi"}, False),
        ({"role": "user", "content": "Hi", "name": "ann"}, False),
        ({"role": "user", "content": [{"type": "text", "text": "Hi"}]}, False),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}], "name": "x"}, False),
        ({"role": "assistant", "content": None, "audio": None, "tool_calls": [{"id": "a"}]}, False),
        ({"role": "assistant", "content": None, "audio": {"id": "audio_1"}}, True),
        ({"role": "user", "content": [{"type": "text", "text": "Hi"}, SOUND]}, True),
        ({"role": "user", "content": [PICTURE]}, True),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}, True),
        ({"role": "user", "content": [{"type": "hologram", "light": 1}]}, True),
        ({"role": "user", "content": ["bare"]}, True),
    ],
)
def test_messages(message: dict[str, Any], unread: bool) -> None:
    assert unread_in_message(msgspec.json.encode(message)) is unread


@pytest.mark.parametrize("held", ["message", "delta"])
@pytest.mark.parametrize(
    ("said", "unread"),
    [
        ({"content": "data:text/plain,Hi"}, False),
        ({"content": "Hi", "audio": None}, False),
        ({"audio": {"id": "a", "transcript": "Hi"}}, False),
        ({"audio": {"id": "a", "data": ""}}, False),
        ({"audio": {"id": "a", "data": "UklGRg==", "transcript": "Hi"}}, True),
        ({"content": "Here", "images": [{"image_url": {"url": "https://example.org/a.png"}}]}, True),
        ({"content": "Here", "images": []}, False),
        ({"content": "Here", "drawn": {"b64_json": "iVBORw=="}}, True),
        ({"content": "Here", "drawn": ["x", {"src": "data:image/png;base64,iVBORw=="}]}, True),
        ({"content": "Here", "annotations": [{"type": "file", "file_data": "JVBERi0="}]}, True),
        ({"content": "Here", "annotations": [{"type": "url_citation", "url": "https://example.org"}]}, False),
    ],
)
def test_answers(held: str, said: dict[str, Any], unread: bool) -> None:
    answer = {"id": "c", "choices": [{"index": 0, held: {"role": "assistant", **said}, "finish_reason": None}]}
    assert unread_in_answer(msgspec.json.encode(answer)) is unread
