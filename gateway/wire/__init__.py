"""Other people's JSON and SSE: types and framing, pure. Only the fields we act on are named; the rest stays raw bytes."""
