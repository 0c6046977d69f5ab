"""How a guard service knows that a question is ours: an HMAC over time and body, in the form that Stripe's webhooks made common.

``x-promptgate-signature: t=<seconds since the epoch>,v1=<hex HMAC-SHA-256 of "<t>.<body>" under the endpoint's secret>``. The time is
signed too, so that a service can refuse what is old, and a recorded question is of no use later.
"""

import hashlib
import hmac

HEADER = b"x-promptgate-signature"


def signature(secret: bytes, seconds: int, body: bytes) -> bytes:
    """The header's value."""
    made = hmac.new(secret, b"%d." % seconds + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={made}".encode()
