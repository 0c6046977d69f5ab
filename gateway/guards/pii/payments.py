"""Numbers of payment: cards, bank accounts, banks. Separators may stand in them."""

from gateway.guards.pii.checksums import luhn, mod_97_10
from gateway.guards.pii.digits import digits_of

_SIXTEEN = frozenset({16})
_LONG = frozenset(range(16, 20))
_ANY = frozenset(range(12, 20))
_NETWORKS: tuple[tuple[str, str, frozenset[int]], ...] = (
    ("1", "1", frozenset({15})),  # UATP
    ("2014", "2014", frozenset({15})),  # Diners Club enRoute
    ("2149", "2149", frozenset({15})),
    ("2200", "2204", _LONG),  # Mir
    ("2205", "2205", _SIXTEEN),  # BORICA
    ("2221", "2720", _SIXTEEN),  # Mastercard
    ("300", "305", frozenset({14, *_LONG})),  # Diners Club International
    ("3095", "3095", frozenset({14, *_LONG})),
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),
    ("3528", "3589", _LONG),  # JCB
    ("36", "36", frozenset(range(14, 20))),  # Diners Club International
    ("38", "39", frozenset({14, *_LONG})),
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("50", "50", _ANY),  # Maestro, Verve, RuPay, Elo
    ("51", "55", _SIXTEEN),  # Mastercard
    ("56", "58", _ANY),  # Maestro
    ("60", "60", _ANY),  # Discover, RuPay, Hipercard, Maestro
    ("62", "62", _LONG),  # UnionPay
    ("63", "63", _ANY),  # Maestro, InterPayment
    ("644", "649", _LONG),  # Discover
    ("65", "65", _LONG),  # Discover, RuPay, Troy, Verve
    ("67", "67", _ANY),  # Maestro
    ("81", "82", _SIXTEEN),  # UnionPay, RuPay
    ("8600", "8600", _SIXTEEN),  # UzCard
    ("9792", "9792", _SIXTEEN),  # Troy
    ("9860", "9860", _SIXTEEN),  # Humo
)
"""First and last prefix of a range, and the lengths issued in it (ISO/IEC 7812 issuer ranges as published by the networks)."""

IBAN_LENGTHS: dict[str, int] = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters per country (SWIFT, IBAN Registry, release 99)."""

_COUNTRIES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG "
    "CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL "
    "GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA "
    "LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP "
    "NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV "
    "SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"
)
"""ISO 3166-1 alpha-2, and XK, which SWIFT uses for Kosovo. Two letters without a space between are one of them."""


def credit_card(text: str) -> bool:
    """A prefix of a network, one of its lengths, Luhn (ISO/IEC 7812-1). A row of one digit is none."""
    digits = digits_of(text)
    if not luhn(digits) or len(set(digits)) < 2:
        return False
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _NETWORKS)


def iban(text: str) -> bool:
    """The length of its country, MOD 97-10 with the first four characters last (ISO 13616-1)."""
    number = digits_of(text).upper()
    return IBAN_LENGTHS.get(number[:2]) == len(number) and mod_97_10(number[4:] + number[:4])


def bic(text: str) -> bool:
    """A business identifier code has a country in its fifth and sixth letter (ISO 9362). No check digit."""
    return text[4:6] in _COUNTRIES
