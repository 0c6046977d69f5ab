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
        (b'{"usage":{"type":"duration","seconds":3}}', None),
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


def test_ids_of_an_object_and_of_what_it_made() -> None:
    assert decode_object(b'{"id":"batch_1","output_file_id":"file-1","error_file_id":null}').ids == ["batch_1", "file-1"]
    assert decode_object(b"{}").ids == []


def test_a_page_keeps_its_bytes() -> None:
    page = decode_page(b'{"data":[ {"a" : 1.0} ],"first_id":"x"}')
    assert ([bytes(raw) for raw in page.data], page.has_more) == ([b'{"a" : 1.0}'], False)
