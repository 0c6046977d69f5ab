"""Where somebody is reached: whether a text of the right form is an e-mail address, a telephone number, a network address, a wallet."""

import hashlib
import ipaddress
import re

from gateway.guards.pii.digits import digits_of

_EMAIL_MAX = 254
"""Characters of an address in a path of 256 octets with its brackets (RFC 5321, 4.5.3.1.3, erratum 1690)."""
_FILES = frozenset(["png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "css", "js", "ts", "json", "html", "pdf"])
"""Ends of file names of the form ``icon@2x.png``; none is a top-level domain."""
_CALLING_CODES = re.compile(
    "1|7|2(?:0|7|[1-69][0-9])|3(?:[0-469]|[578][0-9])|4(?:[013-9]|2[0-9])|5(?:[1-8]|[09][0-9])|6(?:[0-6]|[7-9][0-9])|8(?:[1246]|[0578][0-9])|9(?:[0-58]|[679][0-9])"
)
"""Country codes (ITU-T E.164, list of assigned codes; ranges of spare codes are not told apart)."""
_NO_PHONE = re.compile("[0-9]{2}[./-][0-9]{2}[./-](?:19|20)[0-9]{2}|[0-9]{3}-[0-9]{2}-[0-9]{4}$")
"""A date; a social security number of the United States, which if it is one has a row of its own."""
_BLOCKS = {4: 24, 6: 47}
"""Prefixes up to which a block is a network's and not a customer's: 256 addresses, the least that networks announce to each other; a
customer is given a /48 to /64 of IPv6 (RFC 6177)."""
_BASE58 = {char: value for value, char in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32 = {char: value for value, char in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_BECH32_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_ENDS = frozenset({1, 0x2BC830A3})
"""What a checksum leaves: bech32 (BIP 173), bech32m (BIP 350)."""


def email(text: str) -> bool:
    """Bounds and dots of RFC 5321: 64 octets before the ``@``, 254 in all. ``git@`` is a way to write a repository."""
    local, _, domain = text.partition("@")
    if len(text.encode("utf-8", "surrogatepass")) > _EMAIL_MAX or len(local.encode("utf-8", "surrogatepass")) > 64:
        return False
    if ".." in local or local[-1] == "." or local == "git":
        return False
    if not (text.isascii() or all(char.isalnum() or char in "._%+'@-" for char in text)):
        return False
    return domain.rpartition(".")[2].lower() not in _FILES


def phone_international(text: str) -> bool:
    """A plus or 00, a country code, eight to fifteen digits in all (ITU-T E.164)."""
    digits = digits_of(text)
    digits = digits.removeprefix("00")
    return 8 <= len(digits) <= 15 and _CALLING_CODES.match(digits) is not None and _paired(text) and len(set(digits)) > 2


def phone_national(text: str) -> bool:
    """A trunk 0, nine to eleven digits in groups: most of Europe, Japan, Australia. Dates have the same characters, and are none."""
    digits = digits_of(text)
    return 9 <= len(digits) <= 11 and _paired(text) and _NO_PHONE.match(text) is None and len(set(digits)) > 2


def phone_nanp(text: str) -> bool:
    """North America: area and exchange begin with 2 to 9, neither is a service code such as 911 (ATIS-0300051)."""
    digits = digits_of(text)[-10:]
    return digits[1:3] != "11" and digits[4:6] != "11" and _paired(text)


def phone_any(text: str) -> bool:
    """Seven to twelve digits: for texts that say that a telephone number follows."""
    digits = digits_of(text)
    return 7 <= len(digits) <= 12 and _NO_PHONE.match(text) is None and _paired(text)


def _paired(text: str) -> bool:
    return text.count("(") == text.count(")") <= 1


def ip(text: str) -> bool:
    """IPv4 (RFC 791) or IPv6 (RFC 4291). Loopback, unspecified and reserved addresses are nobody's; words with ``::`` have no digit.

    With a prefix length (RFC 4632, RFC 4291 2.3) it may be a block of addresses: a large one is nobody's either.
    """
    alone, _, prefix = text.partition("/")
    if ":" not in alone:
        return _ipv4(alone, prefix)
    try:
        address = ipaddress.IPv6Address(alone)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or _is_block(int(address), 128, prefix, _BLOCKS[6]):
        return False
    return any(char.isdigit() for char in alone)


def _ipv4(alone: str, prefix: str) -> bool:
    parts = alone.split(".")
    if len(parts) != 4 or any(len(part) > 1 and part[0] == "0" for part in parts):
        return False
    first, *rest = [int(part) for part in parts]
    # 127.0.0.0/8 is loopback, 240.0.0.0/4 reserved (IANA's registry of special addresses).
    if max(rest) > 255 or first >= 240 or first == 127 or not (first or any(rest)):
        return False
    return not _is_block(first << 24 | rest[0] << 16 | rest[1] << 8 | rest[2], 32, prefix, _BLOCKS[4])


def _is_block(address: int, bits: int, prefix: str, largest: int) -> bool:
    """Whether it is no address of one, but a block of many that has this prefix length; empty: none."""
    return bool(prefix) and int(prefix) <= largest and not address & (1 << bits - int(prefix)) - 1


def mac(text: str) -> bool:
    """EUI-48 (IEEE 802). All zeros and all ones are nobody's; groups of four need a letter, being numbers else."""
    digits = digits_of(text.replace(":", "")).lower()
    return len(set(digits)) > 1 and ("." not in text or not digits.isdigit())


def bitcoin_base58(text: str) -> bool:
    """Version, 20 bytes and the first four of a double SHA-256 over them, in base 58."""
    value = 0
    for char in text:
        value = value * 58 + _BASE58[char]
    if value >> 200:
        return False
    raw = value.to_bytes(25)
    return raw[0] in {0, 5} and hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def bitcoin_bech32(text: str) -> bool:
    """Segregated witness addresses: bech32 (BIP 173) or bech32m (BIP 350). One case throughout."""
    if text not in {text.lower(), text.upper()}:
        return False
    low = text.lower()
    check = 1
    for value in (3, 3, 0, 2, 3, *[_BECH32[char] for char in low[3:]]):  # "bc", expanded
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_BECH32_GENERATORS):
            if top >> i & 1:
                check ^= generator
    return check in _BECH32_ENDS
