"""However a provider's stream is cut into reads, the events and the failure are the same."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.upstream import StreamDecoder
from tests.unit.providers.golden import TRANSLATORS, cases, stream_bytes

STREAMS = [(provider, stream_bytes(provider, case["native"])) for provider, _, case in cases("stream")]


def said(decoder: StreamDecoder, pieces: list[bytes]) -> tuple[object, ...]:
    events = [event for piece in pieces for event in decoder.feed(piece)]
    failure = decoder.failure
    return (
        [(e.data, e.texts, e.finish, e.usage, e.usage_only) for e in events],
        decoder.done,
        None if failure is None else (failure.kind.name, failure.detail),
    )


@given(st.sampled_from(STREAMS), st.data())
def test_any_chunking_gives_the_same_events(stream: tuple[str, bytes], data: st.DataObject) -> None:
    provider, whole = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    translator = TRANSLATORS[provider]
    assert said(translator.decoder("chat"), pieces) == said(translator.decoder("chat"), [whole])


@given(st.sampled_from([s for s in STREAMS if s[0] == "bedrock"]), st.data())
def test_a_flipped_bit_in_a_binary_stream_is_never_taken_for_an_answer(stream: tuple[str, bytes], data: st.DataObject) -> None:
    provider, whole = stream
    at = data.draw(st.integers(0, len(whole) - 1))
    bad = whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    events, done, failure = said(TRANSLATORS[provider].decoder("chat"), [bad])
    assert not done
    assert failure is None or failure[0] in {"upstream_invalid", "upstream_error", "upstream_rejected", "upstream_rate_limited"}
    full = said(TRANSLATORS[provider].decoder("chat"), [whole])[0]
    assert isinstance(full, list)
    assert isinstance(events, list)
    assert events == full[: len(events)]
