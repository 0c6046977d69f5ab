"""AWS Signature Version 4: how a request proves who sends it. Source: "Create a signed AWS API request" in the AWS IAM guide.

The time is an argument, in seconds since the epoch; the same request at the same second has the same signature.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl, quote

from msgspec import Struct

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"
"""RFC 3986 section 2.3, beside letters and digits."""
_DAY = 86_400


class Credentials(Struct, frozen=True):
    """An access key of AWS; ``session_token`` is part of temporary ones."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(...)"


class Scope(Struct, frozen=True):
    """What a signature is good for."""

    region: str
    service: str


class Request(Struct, frozen=True):
    """What is signed. ``path`` and ``query`` as they are sent; ``headers`` with lower-case names, ``host`` among them."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def sign(request: Request, credentials: Credentials, scope: Scope, now: int) -> dict[str, str]:
    """The headers to add: ``x-amz-date``, ``x-amz-security-token`` if there is one, and ``authorization``."""
    stamp = timestamp(now)
    added = {"x-amz-date": stamp}
    if credentials.session_token:
        added["x-amz-security-token"] = credentials.session_token
    headers = {**request.headers, **added}
    signed = ";".join(sorted(headers))
    place = f"{stamp[:8]}/{scope.region}/{scope.service}/aws4_request"
    digest = hashlib.sha256(_canonical(request, headers, signed).encode()).hexdigest()
    signature = hmac.new(
        _signing_key(credentials, scope, stamp[:8]), f"{_ALGORITHM}\n{stamp}\n{place}\n{digest}".encode(), hashlib.sha256
    )
    added["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{place}, SignedHeaders={signed}, Signature={signature.hexdigest()}"
    )
    return added


def _canonical(request: Request, headers: dict[str, str], signed: str) -> str:
    """The canonical request. The path is encoded once more than it is sent, as every service but S3 wants it."""
    pairs = [
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED))
        for name, value in parse_qsl(request.query, keep_blank_values=True)
    ]
    return "\n".join(
        (
            request.method,
            quote(request.path or "/", safe="/" + _UNRESERVED),
            "&".join([f"{name}={value}" for name, value in sorted(pairs)]),
            *[f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)],
            "",
            signed,
            hashlib.sha256(request.body).hexdigest(),
        )
    )


def _signing_key(credentials: Credentials, scope: Scope, day: str) -> bytes:
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def timestamp(now: int) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, basic form (``20150830T123600Z``).

    The civil date is reckoned in years that begin in March, so that the leap day comes last: 400 of them have 146,097 days.
    """
    days, second = divmod(now, _DAY)
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{year:04d}{month:02d}{day:02d}T{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}Z"
