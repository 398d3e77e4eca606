"""Personal numbers of the other continents, payment cards, bank accounts and device numbers."""

from random import Random

from bench.corpus.checks import iban, luhn, mod11_2, mod97, verhoeff, weighted
from bench.corpus.draw import chars, day, digits, group

_CHINA_OLD = ("110101", "110102", "110105", "310101", "310104", "120101")
_CHINA_NEW = (
    *_CHINA_OLD,
    "440106",
    "440305",
    "330106",
    "320102",
    "510104",
    "420106",
    "610113",
    "370202",
    "210102",
)
_MEXICO = (
    "AS",
    "BC",
    "CH",
    "DF",
    "GT",
    "HG",
    "JC",
    "MC",
    "MN",
    "NL",
    "OC",
    "PL",
    "QT",
    "SL",
    "SR",
    "TS",
    "VZ",
    "YN",
    "NE",
)
_CURP = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"


def _maybe(rng: Random, text: str, grouped: str, share: float = 0.5) -> str:
    return grouped if rng.random() < share else text


def card(rng: Random, prefixes: tuple[str, ...], size: int = 16) -> str:
    """Return a payment card number, plain or in the groups printed on the card."""
    prefix = rng.choice(prefixes)
    body = prefix + digits(rng, size - 1 - len(prefix))
    text = body + luhn(body)
    sep = rng.choice([" ", " ", "-"])
    return _maybe(
        rng,
        text,
        group(text, 4, 6, 5, sep=sep) if size == 15 else group(text, 4, sep=sep),
    )


def _iban_fr(rng: Random) -> str:
    body = digits(rng, 21)
    key = 97 - (89 * int(body[:5]) + 15 * int(body[5:10]) + 3 * int(body[10:])) % 97
    return f"{body}{key:02}"


def _iban_es(rng: Random) -> str:
    bank, account = digits(rng, 8), digits(rng, 10)
    weights = (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)
    first, second = (
        11 - weighted(part, weights) % 11 for part in ("00" + bank, account)
    )
    return f"{bank}{ {10: 1, 11: 0}.get(first, first) }{ {10: 1, 11: 0}.get(second, second) }{account}"


def _iban_it(rng: Random) -> str:
    body = digits(rng, 22)
    odd = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
    total = sum(odd[int(d)] if i % 2 == 0 else int(d) for i, d in enumerate(body))
    return chr(65 + total % 26) + body


def _iban_be(rng: Random) -> str:
    body = rng.choice(
        ["001", "035", "068", "220", "310", "363", "390", "733", "751"]
    ) + digits(rng, 7)
    return f"{body}{int(body) % 97 or 97:02}"


def _iban_pt(rng: Random) -> str:
    body = digits(rng, 19)
    return f"{body}{98 - int(body + '00') % 97:02}"


def _iban_pl(rng: Random) -> str:
    bank = digits(rng, 7, "1")
    return f"{bank}{-weighted(bank, (3, 9, 7, 1, 3, 9, 7)) % 10}{digits(rng, 16)}"


def _iban_nl(rng: Random) -> str:
    while True:
        body = digits(rng, 9, "0123")
        check = -weighted(body, range(10, 1, -1)) % 11
        if check < 10:
            return (
                f"{rng.choice(['ABNA', 'INGB', 'RABO', 'TRIO', 'BUNQ'])}{body}{check}"
            )


def iban_number(rng: Random) -> tuple[str, str]:
    """Return a random IBAN and the language of its country; national check digits included where they exist."""
    country, language, account = rng.choice(
        [
            ("FR", "fr", _iban_fr(rng)),
            (
                "DE",
                "de",
                rng.choice(["37040044", "10010010", "50010517", "12030000", "20050550"])
                + digits(rng, 10),
            ),
            ("ES", "es", _iban_es(rng)),
            ("IT", "it", _iban_it(rng)),
            ("BE", "nl", _iban_be(rng)),
            ("NL", "nl", _iban_nl(rng)),
            ("PT", "pt", _iban_pt(rng)),
            ("PL", "pl", _iban_pl(rng)),
            (
                "GB",
                "en",
                rng.choice(["NWBK", "BARC", "LOYD", "MIDL", "HBUK", "MONZ"])
                + digits(rng, 14),
            ),
            (
                "CH",
                "de",
                rng.choice(["00762", "09000", "00230", "04835"]) + digits(rng, 12),
            ),
            ("AT", "de", rng.choice(["12000", "20111", "32000"]) + digits(rng, 11)),
            ("LU", "fr", rng.choice(["001", "003", "008"]) + digits(rng, 13)),
            ("TN", "ar", _iban_tn(rng)),
            ("SA", "ar", rng.choice(["80", "10", "20", "05"]) + digits(rng, 18)),
            ("AE", "ar", rng.choice(["033", "026", "035"]) + digits(rng, 16)),
        ]
    )
    text = iban(country, account)
    return _maybe(rng, text, group(text, 4)), language


def _iban_tn(rng: Random) -> str:
    body = digits(rng, 18, "0123")
    return f"{body}{97 - int(body + '00') % 97:02}"


def imei(rng: Random) -> str:
    """Mobile equipment number."""
    body = rng.choice(["35", "86", "01"]) + digits(rng, 12)
    return body + luhn(body)


def tr_tckn(rng: Random) -> str:
    """Turkish identity number."""
    body = digits(rng, 9, "123456789")
    values = [int(digit) for digit in body]
    tenth = (7 * sum(values[0::2]) - sum(values[1::2])) % 10
    return f"{body}{tenth}{(sum(values) + tenth) % 10}"


def il_id(rng: Random) -> str:
    """Israeli identity number."""
    body = digits(rng, 8, "0123")
    return body + luhn(body)


def za_id(rng: Random) -> str:
    """South African identity number."""
    body = f"{day(rng):%y%m%d}{digits(rng, 4)}{rng.choice('001')}{rng.choice('89')}"
    return body + luhn(body)


def in_aadhaar(rng: Random) -> str:
    """Indian Aadhaar number."""
    body = digits(rng, 11, "23456789")
    text = body + verhoeff(body)
    return _maybe(rng, text, group(text, 4), 0.7)


def cn_resident(rng: Random) -> str:
    """Chinese resident identity number."""
    born = day(rng)
    body = f"{rng.choice(_CHINA_NEW if born.year >= 1990 else _CHINA_OLD)}{born:%Y%m%d}{digits(rng, 3)}"
    return body + mod11_2(body)


def kr_rrn(rng: Random) -> str:
    """South Korean resident registration number (of the kind with a check digit)."""
    born = day(rng)
    body = f"{born:%y%m%d}{rng.choice('34' if born.year >= 2000 else '12')}{rng.randint(0, 95):02}{digits(rng, 3)}"
    check = (11 - weighted(body, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return f"{body[:6]}-{body[6:]}{check}"


def jp_my_number(rng: Random) -> str:
    """Japanese individual number."""
    body = digits(rng, 11, "123456789")
    rest = weighted(body, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    text = f"{body}{0 if rest <= 1 else 11 - rest}"
    return _maybe(rng, text, group(text, 4))


def tw_id(rng: Random) -> str:
    """Taiwanese national identity number."""
    letter = rng.choice("ABCDEFGHJKLMNPQRSTUVXYWZIO")
    code = 10 + "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(letter)
    body = rng.choice("12") + digits(rng, 7)
    return f"{letter}{body}{-(code // 10 + code % 10 * 9 + weighted(body, range(8, 0, -1))) % 10}"


def sg_nric(rng: Random) -> str:
    """Singaporean identity number of a citizen."""
    series, body = rng.choice("ST"), digits(rng, 7)
    total = weighted(body, (2, 7, 6, 5, 4, 3, 2)) + (4 if series == "T" else 0)
    return f"{series}{body}{'JZIHGFEDCBA'[total % 11]}"


def th_id(rng: Random) -> str:
    """Thai identity number."""
    body = digits(rng, 12, "12345")
    text = f"{body}{(11 - weighted(body, range(13, 1, -1)) % 11) % 10}"
    return _maybe(rng, text, group(text, 1, 4, 5, 2, 1, sep="-"))


def kw_civil(rng: Random) -> str:
    """Kuwaiti civil number."""
    while True:
        born = day(rng)
        body = f"{3 if born.year >= 2000 else 2}{born:%y%m%d}{digits(rng, 4)}"
        check = 11 - weighted(body, (2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11
        if check < 10:
            return f"{body}{check}"


def sa_id(rng: Random) -> str:
    """Saudi national identity or residence number."""
    body = digits(rng, 9, "12")
    return body + luhn(body)


def br_cpf(rng: Random) -> str:
    """Brazilian personal tax number."""
    body = digits(rng, 9)
    for size in (10, 11):
        rest = weighted(body, range(size, 1, -1)) % 11
        body += str(0 if rest < 2 else 11 - rest)
    return _maybe(rng, body, f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}", 0.7)


def br_cnpj(rng: Random) -> str:
    """Brazilian company tax number."""
    body = digits(rng, 8) + f"{rng.randint(1, 30):04}"
    for weights in (
        (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2),
        (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2),
    ):
        rest = weighted(body, weights) % 11
        body += str(0 if rest < 2 else 11 - rest)
    return _maybe(
        rng, body, f"{body[:2]}.{body[2:5]}.{body[5:8]}/{body[8:12]}-{body[12:]}", 0.7
    )


def cl_rut(rng: Random) -> str:
    """Chilean RUT."""
    number = rng.randint(4_000_000, 26_000_000)
    total = sum(
        int(digit) * (2 + index % 6)
        for index, digit in enumerate(reversed(str(number)))
    )
    check = "0123456789K0"[11 - total % 11] if total % 11 else "0"
    return (
        f"{number:,}".replace(",", ".") + f"-{check}"
        if rng.random() < 0.6
        else f"{number}-{check}"
    )


def mx_curp(rng: Random) -> str:
    """Mexican population registry code."""
    born = day(rng)
    vowel = rng.choice("AEIOU")
    head = f"{rng.choice('BCDFGHLMNPRSTVZ')}{vowel}{chars(rng, 'CGHLMRSV', 2)}{born:%y%m%d}{rng.choice('HM')}{rng.choice(_MEXICO)}"
    body = (
        head
        + chars(rng, "BCDFGHJLMNPRSTVZ", 3)
        + (rng.choice("ABC") if born.year >= 2000 else rng.choice("0012"))
    )
    total = sum(_CURP.index(char) * (18 - index) for index, char in enumerate(body))
    return f"{body}{-total % 10}"


def ar_cuit(rng: Random) -> str:
    """Argentine CUIT or CUIL of a person."""
    while True:
        body = (
            rng.choice(["20", "23", "24", "27"])
            + f"{rng.randint(6_000_000, 60_000_000):08}"
        )
        check = -weighted(body, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return (
                f"{body[:2]}-{body[2:]}-{check}"
                if rng.random() < 0.6
                else f"{body}{check}"
            )


def ec_cedula(rng: Random) -> str:
    """Ecuadorian identity number."""
    body = f"{rng.randint(1, 24):02}{rng.randint(0, 5)}{digits(rng, 6)}"
    return body + luhn(body)


def ca_sin(rng: Random) -> str:
    """Canadian social insurance number."""
    body = digits(rng, 8, "1245679")
    text = body + luhn(body)
    return _maybe(rng, text, group(text, 3, sep=rng.choice(" -")), 0.7)


def us_npi(rng: Random) -> str:
    """United States provider number."""
    body = digits(rng, 9, "12")
    return body + luhn("80840" + body)


def au_tfn(rng: Random) -> str:
    """Australian tax file number."""
    while True:
        body = digits(rng, 8, "123456789")
        check = weighted(body, (1, 4, 3, 7, 5, 8, 6, 9)) % 11
        if check < 10:
            return _maybe(rng, f"{body}{check}", group(f"{body}{check}", 3))


def nz_ird(rng: Random) -> str:
    """New Zealand tax number (nine digits)."""
    while True:
        body = str(rng.randint(10_000_000, 14_999_999))
        check = -weighted(body, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check == 10:
            check = -weighted(body, (7, 4, 3, 2, 5, 2, 7, 6)) % 11
        if check < 10:
            return _maybe(rng, f"{body}{check}", group(f"{body}{check}", 3, sep="-"))


def lei(rng: Random) -> str:
    """Legal entity identifier (ISO 17442)."""
    body = (
        digits(rng, 4) + "00" + chars(rng, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", 12)
    )
    return f"{body}{98 - mod97(body + '00'):02}"
