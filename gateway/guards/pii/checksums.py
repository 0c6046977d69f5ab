"""Check digits: the published algorithms that tell a number from a row of digits. All take ASCII digits, without separators."""

_LUHN_DOUBLED = bytes.maketrans(b"0123456789", b"0246813579")
"""A digit twice, its own digits added."""

# Verhoeff's tables (J. Verhoeff, Error Detecting Decimal Codes, 1969): multiplication in the dihedral group D5, and his permutation.
_D5 = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTATIONS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B: every second digit from the right is doubled; the sum ends in 0. Finds every single wrong digit."""
    codes = digits.encode()
    return (sum(codes[-1::-2]) + sum(codes[-2::-2].translate(_LUHN_DOUBLED)) - 48 * len(codes)) % 10 == 0


def mod_97_10(text: str) -> bool:
    """ISO/IEC 7064 MOD 97-10 over digits and letters (A is 10, Z is 35): the number leaves 1. Finds every single wrong character."""
    return int("".join([str(int(char, 36)) for char in text])) % 97 == 1


def mod_11_10(digits: str) -> bool:
    """ISO/IEC 7064 MOD 11,10 (hybrid): the last digit checks the others. Finds every single wrong digit."""
    product = 10
    for digit in digits[:-1]:
        product = ((ord(digit) - 48 + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == ord(digits[-1]) - 48


def mod_11_2(text: str) -> bool:
    """ISO/IEC 7064 MOD 11-2: digits and a last character 0-9 or X. Finds every single wrong character."""
    total = 0
    for digit in text[:-1]:
        total = (total + ord(digit) - 48) * 2 % 11
    last = 10 if text[-1] == "X" else ord(text[-1]) - 48
    return (total + last) % 11 == 1


def verhoeff(digits: str) -> bool:
    """Verhoeff's code: the last digit checks the others. Finds every single wrong digit and every swap of neighbours."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = _D5[check][_PERMUTATIONS[place % 8][ord(digit) - 48]]
    return check == 0


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The sum of digit times weight, for as many as both have."""
    return sum([(ord(digit) - 48) * weight for digit, weight in zip(digits, weights, strict=False)])
