"""The table of kinds: what each looks like, what proves it, and where that is written.

A kind with a strong check, or a form that nothing else has, is found wherever it stands. One whose check a random number passes too
easily (one in eleven, say), or that has none, is found only after a word that announces it, as Presidio's recognisers do with their
context.

Digits are those of ASCII; full-width and other digits are not folded.
"""

from gateway.guards.forms import Form, announced
from gateway.guards.pii import americas, asia_pacific, contacts, europe, payments

_DAY = "(?:3[01]|[12][0-9]|0?[1-9])"
_MONTH = "(?:1[0-2]|0?[1-9])"
_YEAR = "(?:19|20)[0-9]{2}"
_MONTH_NAME = (
    "(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    "|dec(?:ember)?)"
)
_DATES = (
    f"{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}|{_DAY}[-/.]{_MONTH}[-/.](?:{_YEAR}|[0-9]{{2}})|{_MONTH}[-/.]{_DAY}[-/.]{_YEAR}"
    f"|{_DAY}(?:st|nd|rd|th)? (?:of )?{_MONTH_NAME}[.,]? {_YEAR}|{_MONTH_NAME}[.]? {_DAY}(?:st|nd|rd|th)?,? {_YEAR}"
)


def _ibans() -> str:
    """In groups of four: one branch per length, for only the country says where the last group ends."""
    lengths: dict[int, list[str]] = {}
    for country, length in payments.IBAN_LENGTHS.items():
        lengths.setdefault(length, []).append(country)
    branches: list[str] = []
    for length, countries in sorted(lengths.items()):
        whole, rest = divmod(length - 4, 4)
        last = f" [A-Z0-9]{{{rest}}}" if rest else ""
        branches.append(f"(?:{'|'.join(countries)})[0-9]{{2}}(?: [A-Z0-9]{{4}}){{{whole}}}{last}")
    return "|".join(branches)


_PHONE_WORDS = (
    "phone|telephone|tel|mobile|cell|fax|call|whatsapp|sms|telefon|handy|mobil|rufnummer|téléphone|teléfono|telefono|telefone"
    "|celular|móvil"
)
_STEUER_ID = r"steuer-?id|steuer-?nr|idnr|steuerliche identifikationsnummer|steueridentifikationsnummer|tin|tax id"
_BORN = (
    r"born|dob|d\.o\.b|birth ?date|birthday|date of birth|geboren|geburtsdatum|geb|n[ée]e? le|date de naissance|nacid[oa]"
    "|fecha de nacimiento|nat[oa]|data di nascita|nascid[oa]|data de nascimento|geboortedatum"
)
_LETTER = r"[^\x00-\x40\x5B-\x60\x7B-\x7F]"
"""A letter of ASCII, or anything beyond ASCII: addresses may have both (RFC 6531)."""
# \u0440\u0444 and so on: the larger internationalised ones (Russia, Bulgaria, Ukraine, China twice, Taiwan, Hong Kong, Korea).
_TOP_LEVEL = "[A-Za-z]{2,24}|[Xx][Nn]--[A-Za-z0-9-]{2,59}|\u0440\u0444|\u0431\u0433|\u0443\u043a\u0440|中国|中國|台灣|香港|한국"
"""Letters of ASCII, or a known other one, for a text without spaces goes on after an address."""

FORMS: tuple[Form, ...] = (
    Form(
        "email",
        rf"(?:{_LETTER}|[0-9_])(?:{_LETTER}|[0-9_.%+'-]){{0,63}}@(?:(?:{_LETTER}|[0-9])(?:{_LETTER}|[0-9-]){{0,62}}\.){{1,8}}(?:{_TOP_LEVEL})",
        contacts.email,
        around="@",
        left=r"[\w.%+'@-]",
        right=r"[\w-]|[.][A-Za-z0-9]",
    ),
    Form("credit_card", "[0-9]{12,19}", payments.credit_card),
    Form("credit_card", "[0-9]{4}(?:(?: [0-9]{4}){3} [0-9]{3}|(?:-[0-9]{4}){3}-[0-9]{3})", payments.credit_card),
    Form("credit_card", "[0-9]{4}(?:(?: [0-9]{4}){3}|(?:-[0-9]{4}){3})", payments.credit_card),
    Form("credit_card", "[0-9]{4}(?: [0-9]{6} [0-9]{4,5}|-[0-9]{6}-[0-9]{4,5})", payments.credit_card),
    Form("iban", "[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,29}", payments.iban),
    Form("iban", _ibans(), payments.iban),
    Form("bic", "[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?", payments.bic, after=announced("swift|bic")),
    Form("us_ssn", "[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}", americas.us_ssn),
    Form("us_ssn", "[0-9]{9}", americas.us_ssn, after=announced("ssn|social security")),
    Form("us_itin", "9[0-9]{2}-[0-9]{2}-[0-9]{4}", americas.us_itin),
    Form("us_itin", "9[0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{4}", americas.us_itin, after=announced("itin|taxpayer")),
    Form(
        "ca_sin",
        "[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}",
        americas.ca_sin,
        after=announced("sin|nas|social insurance|assurance sociale"),
    ),
    Form("br_cpf", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}|[0-9]{11}", americas.br_cpf),
    Form("br_cnpj", r"[0-9]{2}\.[0-9]{3}\.[0-9]{3}/[0-9]{4}-[0-9]{2}", americas.br_cnpj),
    Form("br_cnpj", "[0-9]{14}", americas.br_cnpj, after=announced("cnpj")),
    Form("uk_nino", "(?i:[A-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D])", europe.uk_nino),
    Form("uk_nhs", "[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", europe.uk_nhs, after=announced("nhs|national health")),
    Form("de_steuer_id", "[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}", europe.de_steuer_id),
    Form("de_steuer_id", "[1-9][0-9]{10}", europe.de_steuer_id, after=announced(_STEUER_ID)),
    Form(
        "fr_nir",
        "[1-478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        europe.fr_nir,
    ),
    Form("es_dni", "[0-9]{8}[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]", europe.es_dni),
    Form("es_nie", "[XYZxyz][ -]?[0-9]{7}[ -]?[A-HJ-NP-TV-Za-hj-np-tv-z]", europe.es_nie),
    Form(
        "it_codice_fiscale",
        "(?i:[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z])",
        europe.it_codice_fiscale,
    ),
    Form(
        "nl_bsn",
        r"[0-9]{9}|[0-9]{4}[. ][0-9]{2}[. ][0-9]{3}",
        europe.nl_bsn,
        after=announced("bsn|burgerservicenummer|sofi-?nummer"),
    ),
    Form("pl_pesel", "[0-9]{11}", europe.pl_pesel),
    Form("se_personnummer", "(?:(?:19|20)[0-9]{6}[-+]?|[0-9]{6}[-+])[0-9]{4}", europe.se_personnummer),
    Form("se_personnummer", "[0-9]{10}", europe.se_personnummer, after=announced("personnummer|personnr|samordningsnummer")),
    Form("in_aadhaar", "[2-9][0-9]{3}(?: [0-9]{4} |-[0-9]{4}-)[0-9]{4}", asia_pacific.in_aadhaar),
    Form("in_aadhaar", "[2-9][0-9]{11}", asia_pacific.in_aadhaar, after=announced("aadhaar|aadhar|uidai|uid")),
    Form("in_pan", "[A-Z]{5}[0-9]{4}[A-Z]", asia_pacific.in_pan, after=announced("pan|permanent account|income tax")),
    Form("au_tfn", "[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", asia_pacific.au_tfn, after=announced("tfn|tax file")),
    Form("cn_resident_id", "[1-8][0-9]{16}[0-9Xx]", asia_pacific.cn_resident_id),
    Form(
        "passport",
        "[A-Z]{0,3}[0-9]{6,9}[A-Z]?|[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}",
        lambda number: sum(map(str.isdigit, number)) >= 2,
        after=announced("passport|reisepass|passeport|pasaporte|passaporto|paspoort|passnummer"),
    ),
    Form("date_of_birth", _DATES, after=announced(_BORN)),
    Form("phone", r"\+[1-9](?:[ ./()-]{0,2}[0-9]){7,14}", contacts.phone_international, around="+", right=r"\w"),
    Form("phone", r"00[1-9](?:[ ./()-]{0,2}[0-9]){7,14}", contacts.phone_international, right=r"\w"),
    Form(
        "phone",
        r"(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
        contacts.phone_nanp,
        yields=True,
    ),
    Form("phone", r"\(?0[1-9][0-9]{0,4}\)?[ ./-]{1,2}(?:[0-9][ .-]?){4,8}[0-9]", contacts.phone_national, yields=True),
    Form("phone", r"\([1-9][0-9]\) ?9?[0-9]{4}-[0-9]{4}"),
    Form("phone", r"\(?[0-9](?:[ ./()-]{0,2}[0-9]){6,11}", contacts.phone_any, after=announced(_PHONE_WORDS)),
    Form("ip", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,2})?", contacts.ip),
    Form(
        "ip", "[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:/[0-9]{1,3})?", contacts.ip, left=r"[\w.:]", right=r"[\w:]|[.][0-9]"
    ),
    Form(
        "mac",
        "[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})",
        contacts.mac,
        left=r"[\w:-]",
        right=r"[:-]?\w",
    ),
    Form("mac", r"[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}", contacts.mac),
    Form("crypto", "[13][1-9A-HJ-NP-Za-km-z]{25,34}", contacts.bitcoin_base58),
    Form("crypto", "(?:bc1|BC1)[02-9ac-hj-np-zAC-HJ-NP-Z]{11,71}", contacts.bitcoin_bech32),
    Form("crypto", "0x[0-9A-Fa-f]{40}"),
)
