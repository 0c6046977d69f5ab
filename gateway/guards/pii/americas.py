"""Personal numbers of the Americas: whether a text of the right form is one. Separators may stand in it."""

from gateway.guards.pii.checksums import luhn, weighted
from gateway.guards.pii.digits import digits_of

_CPF = ((10, 9, 8, 7, 6, 5, 4, 3, 2), (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))
_CNPJ = ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2))
# Printed in advertisements or books as samples (Social Security Administration, "Social Security Number Randomization FAQ").
_SSN_SPECIMENS = frozenset({"078051120", "219099999", "123456789", "987654321"})


def us_ssn(text: str) -> bool:
    """United States: never issued are areas 000, 666 and 900-999, group 00, serial 0000 (SSA, POMS RM 10201.035). No check digit."""
    digits = digits_of(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return digits not in _SSN_SPECIMENS and len(set(digits)) > 1


def us_itin(text: str) -> bool:
    """United States: 9xx with groups 50-65, 70-88, 90-92, 94-99 (IRS, Internal Revenue Manual 3.21.263.8). No check digit."""
    digits = digits_of(text)
    group = int(digits[3:5])
    return digits[0] == "9" and (50 <= group <= 65 or (70 <= group <= 99 and group not in {89, 93}))


def ca_sin(text: str) -> bool:
    """Canada: Luhn; 0 and 8 never begin one of a person (Service Canada, Social Insurance Number code of practice)."""
    digits = digits_of(text)
    return digits[0] not in "08" and luhn(digits)


def br_cpf(text: str) -> bool:
    """Brazil, persons: two check digits modulo 11 (Receita Federal, IN 1548/2015). Eleven equal digits pass, and are none."""
    return _brazilian(digits_of(text), _CPF)


def br_cnpj(text: str) -> bool:
    """Brazil, companies and sole traders: two check digits modulo 11 (Receita Federal, IN 2119/2022)."""
    return _brazilian(digits_of(text), _CNPJ)


def _brazilian(digits: str, weights: tuple[tuple[int, ...], tuple[int, ...]]) -> bool:
    if len(set(digits)) == 1:
        return False
    for row in weights:
        rest = weighted(digits, row) % 11
        if (0 if rest < 2 else 11 - rest) != ord(digits[len(row)]) - 48:
            return False
    return True
