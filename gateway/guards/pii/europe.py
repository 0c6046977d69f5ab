"""Personal numbers of Europe: whether a text of the right form is one. Separators may stand in it, letters are of either case."""

import re

from gateway.guards.pii.checksums import luhn, mod_11_10, weighted
from gateway.guards.pii.digits import digits_of, is_date, is_day

_CORSICA = {"2A": "19", "2B": "18"}
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")
_PESEL = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)
_PESEL_CENTURIES = {8: 1800, 0: 1900, 2: 2000, 4: 2100, 6: 2200}
"""What is added to the month (tens of it) tells the century."""
_NHS = (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
_BSN = (9, 8, 7, 6, 5, 4, 3, 2, -1)
# Decreto ministeriale 23 dicembre 1976, tables of odd places; a digit counts as the letter of its value.
_CODICE_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_CODICE_MONTHS = "ABCDEHLMPRST"
_CODICE_DIGITS = str.maketrans("LMNPQRSTUV", "0123456789")
"""Letters that stand for digits where two persons would have the same code (omocodia)."""


def uk_nino(text: str) -> bool:
    """United Kingdom, National Insurance: letters that are not used, prefixes that are not issued (HMRC, NIM39110). No check digit."""
    return _NINO.fullmatch(digits_of(text).upper()) is not None


def uk_nhs(text: str) -> bool:
    """United Kingdom, National Health Service: weights 10 to 2 modulo 11 (NHS Data Dictionary, NHS NUMBER); one digit is none."""
    digits = digits_of(text)
    return weighted(digits, _NHS) % 11 == 0 and len(set(digits)) > 1


def de_steuer_id(text: str) -> bool:
    """Germany: ISO 7064 MOD 11,10; of the first ten digits one comes twice or thrice, never thrice in a row (BZSt, IdNr)."""
    digits = digits_of(text)
    if digits[0] == "0":
        return False
    body = digits[:10]
    counts = sorted(body.count(digit) for digit in set(body))
    if counts[-1] not in {2, 3} or counts[:-1] != [1] * (len(counts) - 1):
        return False
    return not any(digit * 3 in body for digit in set(body)) and mod_11_10(digits)


def fr_nir(text: str) -> bool:
    """France: the key is 97 less the first thirteen modulo 97; Corsica's 2A and 2B count as 19 and 18 (INSEE; décret 82-103)."""
    number = digits_of(text).upper()
    if number[0] not in "123478" or not _nir_month(int(number[3:5])):
        return False
    body = number[:5] + _CORSICA.get(number[5:7], number[5:7]) + number[7:13]
    return 97 - int(body) % 97 == int(number[13:])


def _nir_month(month: int) -> bool:
    # 20 and more: an unknown month, or one of the series for births abroad.
    return 1 <= month <= 12 or 20 <= month <= 42 or 50 <= month <= 99


def es_dni(text: str) -> bool:
    """Spain, citizens: the letter is the number modulo 23 (Real Decreto 1553/2005)."""
    number = digits_of(text).upper()
    return _DNI_LETTERS[int(number[:-1]) % 23] == number[-1]


def es_nie(text: str) -> bool:
    """Spain, foreigners: X, Y, Z count as 0, 1, 2 before the number, then as a DNI (Orden INT/2058/2008)."""
    number = digits_of(text).upper()
    return es_dni(str("XYZ".index(number[0])) + number[1:])


def it_codice_fiscale(text: str) -> bool:
    """Italy: a letter that checks fifteen characters modulo 26, a possible day and month (DM 23 dicembre 1976)."""
    code = text.upper()
    values = [ord(char) - (48 if char.isdigit() else 65) for char in code]
    total = sum(_CODICE_ODD[value] if place % 2 == 0 else value for place, value in enumerate(values[:15]))
    if total % 26 != values[15]:
        return False
    day = int(code[9:11].translate(_CODICE_DIGITS))
    return is_day(_CODICE_MONTHS.index(code[8]) + 1, day - 40 if day > 40 else day)


def nl_bsn(text: str) -> bool:
    """Netherlands: the test of eleven, weights 9 to 2 and -1 (Logisch Ontwerp BSN)."""
    digits = digits_of(text)
    return weighted(digits, _BSN) % 11 == 0 and len(set(digits)) > 1


def pl_pesel(text: str) -> bool:
    """Poland: weights 1, 3, 7, 9 modulo 10, and a date with its century in the month (ustawa o ewidencji ludności, 2010)."""
    month = int(text[2:4])
    century = _PESEL_CENTURIES[month // 20 * 2]
    return is_date(century + int(text[:2]), month % 20, int(text[4:6])) and weighted(text, _PESEL) % 10 == 0


def se_personnummer(text: str) -> bool:
    """Sweden: Luhn over the last ten digits; a day plus 60 is a coordination number (Skatteverket, SKV 704)."""
    digits = digits_of(text)[-10:]
    day = int(digits[4:6])
    return is_day(int(digits[2:4]), day - 60 if day > 60 else day) and luhn(digits)
