"""Personal numbers of Asia and the Pacific: whether a text of the right form is one. Separators may stand in it."""

from gateway.guards.pii.checksums import mod_11_2, verhoeff, weighted
from gateway.guards.pii.digits import digits_of, is_date

_TFN = (1, 4, 3, 7, 5, 8, 6, 9, 10)
_PAN_HOLDERS = frozenset("ABCFGHJLPT")
"""The fourth letter: person, company, trust and so on."""
_PROVINCES = "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83"
"""GB/T 2260, the first two digits of a division code. Two digits without a space between are one of them."""


def in_aadhaar(text: str) -> bool:
    """India: Verhoeff; 0 and 1 never begin one, and one that reads the same backwards is none (UIDAI)."""
    digits = digits_of(text)
    return digits[0] not in "01" and digits != digits[::-1] and verhoeff(digits)


def in_pan(text: str) -> bool:
    """India, Permanent Account Number: its fourth letter says what the holder is (Income Tax Rules, 114). The check is secret."""
    return text[3] in _PAN_HOLDERS and text[5:9] != "0000"


def au_tfn(text: str) -> bool:
    """Australia, Tax File Number of nine digits: a weighted sum modulo 11 (ATO)."""
    digits = digits_of(text)
    return weighted(digits, _TFN) % 11 == 0 and len(set(digits)) > 1


def cn_resident_id(text: str) -> bool:
    """China: ISO 7064 MOD 11-2, a province and a date of birth (GB 11643-1999)."""
    number = text.upper()
    if number[:2] not in _PROVINCES or not 1800 <= int(number[6:10]) <= 2099:
        return False
    return is_date(int(number[6:10]), int(number[10:12]), int(number[12:14])) and mod_11_2(number)
