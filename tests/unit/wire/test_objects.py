import pytest

from gateway.core.events import Usage
from gateway.wire.objects import decode_object, decode_page, usage_of


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"usage":{"prompt_tokens":8,"total_tokens":8}}', Usage(8, 0)),
        (b'{"usage":{"prompt_tokens":8,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}}', Usage(8, 2, 3)),
        (b'{"usage":{"input_tokens":5,"output_tokens":7}}', Usage(5, 7)),
        (b'{"usage":{"input_tokens":5,"output_tokens":7,"input_tokens_details":{"cached_tokens":2}}}', Usage(5, 7, 2)),
        (b'{"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":null}}}', Usage(5, 0)),
        (b'{"usage":{"type":"tokens","input_tokens":5,"output_tokens":0}}', Usage(5, 0)),
        (b'{"usage":{"type":"duration","seconds":3}}', Usage(0, 0, audio_ms=3000)),
        (b'{"usage":{"type":"duration","seconds":0.0004}}', Usage(0, 0)),
        (b'{"usage":{"type":"duration","seconds":-1}}', None),
        (b'{"usage":{"type":"duration","seconds":1e300}}', None),
        (b'{"usage":{"type":"duration","seconds":"3"}}', None),
        (b'{"usage":{"type":"duration"}}', None),
        (b'{"usage":{}}', None),
        (b'{"usage":null}', None),
        (b'{"usage":{"input_tokens":5,"output_tokens":-1}}', None),
        (b'{"usage":{"input_tokens":-5}}', None),
        (b'{"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":6}}}', None),
        (b'{"usage":{"prompt_tokens":-8}}', None),
        (b'{"usage":"much"}', None),
        (b'{"a":1}', None),
        (b"[]", None),
        (b"nonsense", None),
        (b"", None),
    ],
)
def test_usage_where_it_is_told_and_makes_sense(body: bytes, usage: Usage | None) -> None:
    assert usage_of(body) == usage


def test_pictures_are_billed_by_their_tokens_else_by_the_piece() -> None:
    tokens = b'{"data":[{},{}],"usage":{"input_tokens":50,"output_tokens":100,"input_tokens_details":{"image_tokens":40}}}'
    assert usage_of(tokens, draws=True) == Usage(50, 100, image_input=40, image_output=100)
    apart = b'{"usage":{"input_tokens":5,"output_tokens":9,"output_tokens_details":{"image_tokens":7}}}'
    assert usage_of(apart, draws=True) == Usage(5, 9, image_output=7)
    assert usage_of(b'{"data":[{"url":"a"},{"url":"b"}]}', draws=True) == Usage(0, 0, images=2)
    assert usage_of(b'{"data":[{"url":"a"}]}') is None
    assert usage_of(b'{"type":"image_generation.partial_image"}', draws=True) is None


def test_audio_of_a_transcription_is_billed_apart() -> None:
    body = b'{"usage":{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":45}}'
    assert usage_of(body) == Usage(14, 45, audio_input=10)
    assert usage_of(body.replace(b":10}", b":99}")) is None


def test_ids_of_an_object_and_of_what_it_made() -> None:
    assert decode_object(b'{"id":"batch_1","output_file_id":"file-1","error_file_id":null}').ids == ["batch_1", "file-1"]
    assert decode_object(b"{}").ids == []


def test_a_page_keeps_its_bytes() -> None:
    page = decode_page(b'{"data":[ {"a" : 1.0} ],"first_id":"x"}')
    assert ([bytes(raw) for raw in page.data], page.has_more) == ([b'{"a" : 1.0}'], False)
