"""Values that cannot be forged, moved or cut."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.redis.seal import seal, unseal

SECRET = b"k" * 32


@given(st.text(), st.binary())
def test_what_was_sealed_is_unsealed(place: str, payload: bytes) -> None:
    assert unseal(SECRET, place, seal(SECRET, place, payload)) == payload


@given(st.text(), st.binary(), st.data())
def test_any_changed_bit_is_noticed(place: str, payload: bytes, data: st.DataObject) -> None:
    value = bytearray(seal(SECRET, place, payload))
    value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert unseal(SECRET, place, bytes(value)) is None


@given(st.text(), st.text(), st.binary(), st.data())
def test_a_value_counts_only_where_it_was_put(place: str, other: str, payload: bytes, data: st.DataObject) -> None:
    value = seal(SECRET, place, payload)
    assert (unseal(SECRET, other, value) is None) == (place != other)
    cut = data.draw(st.integers(0, len(value) - 1))
    assert unseal(SECRET, place, value[:cut]) is None
    assert unseal(SECRET[:-1], place, value) is None


def test_place_and_payload_cannot_trade_bytes() -> None:
    assert unseal(SECRET, "ab", seal(SECRET, "a", b"bc")[:32] + b"c") is None
