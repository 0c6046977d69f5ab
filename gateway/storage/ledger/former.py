"""Records of the format before this one (``pgspool1``), as a killed worker of an older program may have left them. Only read. Pure.

There every record was one flat array, and a final one held all that its intent held.
"""

import msgspec
from msgspec import defstruct
from msgspec.structs import asdict, fields

from gateway.core.ledger import Intent, LedgerRow, ServedPrompt

_SHARED = "application_id key_id request_id door prompt_id prompt version alias variant content_hash generation stream requested_model"
_INTENT = f"call_id attempt {_SHARED} provider model estimated_input_tokens user session tags"
_ROW = (
    f"call_id attempt state {_SHARED} provider model outcome status finish_reason"
    " input_tokens cached_tokens output_tokens reasoning_tokens usage_source cost_nano cost_status price_version"
    " latency_us first_byte_us upstream_us attempts user session tags guard error"
)
_ADDED = (
    "cache_write_tokens cache_write_1h_tokens audio_input_tokens audio_cached_tokens audio_output_tokens"
    " image_input_tokens image_output_tokens images request_units service_tier verdicts"
)
"""What rows got later; those of still older programs end before."""

_columns = {field.name: field.type for field in fields(LedgerRow)}
_labels = _columns | {"estimated_input_tokens": int}
_decode_intent = msgspec.msgpack.Decoder(
    defstruct("FormerIntent", [(name, _labels[name]) for name in _INTENT.split()], array_like=True)
).decode
_decode_row = msgspec.msgpack.Decoder(
    defstruct(
        "FormerRow",
        [*[(name, _columns[name]) for name in _ROW.split()], *[(name, _columns[name], None) for name in _ADDED.split()]],
        array_like=True,
    )
).decode


def decode_former_intent(body: bytes) -> Intent:
    """Raises ``MsgspecError``."""
    values = asdict(_decode_intent(body))
    named = {name: values.pop(name) for name in ServedPrompt.__struct_fields__}
    return Intent(**values, prompt=None if named["prompt_id"] is None else ServedPrompt(**named))


def decode_former_row(body: bytes) -> LedgerRow:
    """Raises ``MsgspecError``."""
    return LedgerRow(**asdict(_decode_row(body)))
