"""Check digits against published examples, and against every single wrong digit."""

from collections.abc import Callable

import pytest

from gateway.guards.pii import americas, asia_pacific, contacts, europe, payments
from gateway.guards.pii.checksums import luhn, mod_11_2, mod_11_10, mod_97_10, verhoeff, weighted

PUBLISHED: list[tuple[Callable[[str], bool], str]] = [
    (luhn, "79927398713"),
    (mod_11_10, "07945"),  # ISO/IEC 7064: 0794 is checked by 5
    (mod_11_2, "079X"),  # ISO/IEC 7064: 079 is checked by X
    (verhoeff, "2363"),  # Verhoeff: 236 is checked by 3
    (mod_97_10, "79444"),  # ISO/IEC 7064: 794 is checked by 44
    (payments.credit_card, "4111111111111111"),
    (payments.credit_card, "5555555555554444"),
    (payments.credit_card, "378282246310005"),
    (payments.credit_card, "30569309025904"),
    (payments.credit_card, "6011111111111117"),
    (payments.credit_card, "3530111333300000"),
    (payments.iban, "GB82WEST12345698765432"),
    (payments.iban, "DE89370400440532013000"),
    (payments.iban, "MT84MALT011000012345MTLCAST001S"),
    (americas.ca_sin, "130692544"),
    (americas.br_cpf, "52998224725"),
    (americas.br_cnpj, "11222333000181"),
    (europe.uk_nhs, "9434765919"),
    (europe.de_steuer_id, "86095742719"),
    (europe.de_steuer_id, "47036892816"),
    (europe.fr_nir, "255081416802538"),
    (europe.es_dni, "12345678Z"),
    (europe.es_nie, "X1234567L"),
    (europe.it_codice_fiscale, "RSSMRA85T10A562S"),
    (europe.nl_bsn, "111222333"),
    (europe.pl_pesel, "44051401359"),
    (europe.se_personnummer, "8112189876"),
    (asia_pacific.in_aadhaar, "234123412346"),
    (asia_pacific.au_tfn, "876543210"),
    (asia_pacific.cn_resident_id, "11010519491231002X"),
    (asia_pacific.cn_resident_id, "440524188001010014"),
    (contacts.bitcoin_base58, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"),
    (contacts.bitcoin_base58, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy"),
    (contacts.bitcoin_bech32, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    (contacts.bitcoin_bech32, "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4"),
    (contacts.bitcoin_bech32, "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"),
]
IDS = [f"{check.__name__}-{number}" for check, number in PUBLISHED]


@pytest.mark.parametrize(("check", "number"), PUBLISHED, ids=IDS)
def test_published_examples_pass(check: Callable[[str], bool], number: str):
    assert check(number)


@pytest.mark.parametrize(("check", "number"), PUBLISHED, ids=IDS)
def test_no_single_wrong_digit_passes(check: Callable[[str], bool], number: str):
    """Every one of these algorithms promises that; base58check leaves it to a chance of one in four billion."""
    bech32 = check is contacts.bitcoin_bech32
    alphabet = "023456789" if bech32 else "123456789" if check is contacts.bitcoin_base58 else "0123456789"
    for place in range(3 if bech32 else 0, len(number)):
        if number[place].isdigit():
            for digit in alphabet:
                if digit != number[place]:
                    assert not check(number[:place] + digit + number[place + 1 :]), (place, digit)


def test_verhoeff_finds_every_swap_of_neighbours():
    number = "234123412346"
    for i in range(len(number) - 1):
        if number[i] != number[i + 1]:
            assert not verhoeff(number[:i] + number[i + 1] + number[i] + number[i + 2 :])


def test_weights_are_applied_in_order():
    assert weighted("123", (3, 2, 1)) == 10


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        (americas.us_ssn, "536-90-4399", True),
        (americas.us_ssn, "000-12-3456", False),
        (americas.us_ssn, "666-12-3456", False),
        (americas.us_ssn, "900-12-3456", False),
        (americas.us_ssn, "536-00-4399", False),
        (americas.us_ssn, "536-90-0000", False),
        (americas.us_ssn, "078-05-1120", False),
        (americas.us_ssn, "111-11-1111", False),
        (americas.us_itin, "912-70-1234", True),
        (americas.us_itin, "912-50-1234", True),
        (americas.us_itin, "912-65-1234", True),
        (americas.us_itin, "912-66-1234", False),
        (americas.us_itin, "912-89-1234", False),
        (americas.us_itin, "912-93-1234", False),
        (americas.us_itin, "912-99-1234", True),
        (americas.us_itin, "812-70-1234", False),
        (americas.ca_sin, "046 454 286", False),
        (americas.br_cpf, "111.111.111-11", False),
        (europe.uk_nino, "AB 12 34 56 C", True),
        (europe.uk_nino, "ab123456c", True),
        (europe.uk_nino, "BG123456C", False),
        (europe.uk_nino, "QQ123456C", False),
        (europe.uk_nino, "AO123456C", False),
        (europe.uk_nino, "AB123456E", False),
        (europe.uk_nhs, "0000000000", False),
        (europe.de_steuer_id, "01234567892", False),
        (europe.de_steuer_id, "12345678903", False),
        (europe.fr_nir, "2 69 05 49 588 157 80", True),
        (europe.fr_nir, "1 85 05 2A 004 042 40", True),
        (europe.fr_nir, "1 85 05 2b 004 042 67", True),
        (europe.fr_nir, "1 85 15 2B 004 042 67", False),
        (europe.fr_nir, "1 85 05 2A 004 042 84", False),
        (europe.es_nie, "Y1234567X", True),
        (europe.it_codice_fiscale, "mrtmtt91d08f205j", True),
        (europe.it_codice_fiscale, "RSSMRA85T10A562T", False),
        (europe.nl_bsn, "000000000", False),
        (europe.pl_pesel, "02070803628", True),
        (europe.pl_pesel, "44023001355", False),
        (europe.se_personnummer, "19811218-9876", True),
        (europe.se_personnummer, "811318-9874", False),
        (asia_pacific.in_aadhaar, "134123412347", False),
        (asia_pacific.in_pan, "ABCPE1234F", True),
        (asia_pacific.in_pan, "ABCZE1234F", False),
        (asia_pacific.in_pan, "ABCPE0000F", False),
        (asia_pacific.cn_resident_id, "990105194912310020", False),
        (asia_pacific.cn_resident_id, "11010530491231002X", False),
        (payments.credit_card, "0000000000000000", False),
        (payments.credit_card, "7111111111111118", False),
        (payments.credit_card, "4444444444444444", False),
        (payments.iban, "ZZ89370400440532013000", False),
        (payments.iban, "DE8937040044053201300", False),
        (payments.bic, "DEUTDEFF", True),
        (payments.bic, "DEUTQQFF", False),
        (contacts.bitcoin_base58, "z" * 35, False),
        (contacts.bitcoin_bech32, "bc1Qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", False),
    ],
)
def test_what_is_never_issued_does_not_pass(check: Callable[[str], bool], text: str, expected: bool):
    assert check(text) is expected
