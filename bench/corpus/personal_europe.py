"""European personal numbers with their official check digits."""

import string
from random import Random

from bench.corpus.checks import ean13, luhn, mod11_10, weighted
from bench.corpus.draw import chars, day, digits, group

_CONSONANTS, _VOWELS = "BCDFGLMNPRSTVZ", "AEIOU"
_ODD = dict(
    zip(
        string.digits + string.ascii_uppercase,
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ),
        strict=True,
    )
)
_ITALIAN_TOWNS = (
    "H501",
    "F205",
    "L219",
    "F839",
    "D612",
    "A944",
    "G273",
    "C351",
    "A662",
    "L736",
    "G224",
    "L781",
    "B354",
    "D969",
)


def _serial(rng: Random, size: int, first: int = 1) -> str:
    return f"{rng.randint(first, 10**size - 1):0{size}}"


def fr_nir(rng: Random) -> str:
    """French social security number (NIR) with its key."""
    born = day(rng)
    department = rng.choice(
        [f"{rng.choice([*range(1, 20), *range(21, 96)]):02}"] * 9 + ["2A", "2B"]
    )
    body = f"{rng.choice('12')}{born:%y%m}{department}{rng.randint(1, 400):03}{rng.randint(1, 700):03}"
    key = 97 - int(body.replace("2A", "19").replace("2B", "18")) % 97
    text = f"{body}{key:02}"
    return (
        group(text[:13], 1, 2, 2, 2, 3, 3) + " " + text[13:]
        if rng.random() < 0.6
        else text
    )


def fr_siret(rng: Random) -> str:
    """French establishment number: a SIREN with its check digit, an office number and a second check digit."""
    siren = digits(rng, 8, "3456789")
    siren += luhn(siren)
    body = siren + f"{rng.randint(1, 60):04}"
    text = body + luhn(body)
    return group(text, 3, 3, 3, 5) if rng.random() < 0.5 else text


def es_dni(rng: Random) -> str:
    """Spanish identity number (DNI)."""
    number = rng.randint(1_000_000, 89_999_999)
    return f"{number:08}{rng.choice(['', '', '-'])}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def es_nie(rng: Random) -> str:
    """Spanish number for foreigners (NIE)."""
    first, rest = rng.randrange(3), digits(rng, 7)
    dash = rng.choice(["", "", "-"])
    return f"{'XYZ'[first]}{dash}{rest}{dash}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(f'{first}{rest}') % 23]}"


def it_codice_fiscale(rng: Random) -> str:
    """Italian tax code of a person."""
    born, female = day(rng), rng.random() < 0.5
    name = chars(rng, _CONSONANTS, 3) + rng.choice(
        [chars(rng, _CONSONANTS, 3), chars(rng, _CONSONANTS, 2) + rng.choice(_VOWELS)]
    )
    body = f"{name}{born:%y}{'ABCDEHLMPRST'[born.month - 1]}{born.day + 40 * female:02}{rng.choice(_ITALIAN_TOWNS)}"
    total = sum(
        _ODD[char] if index % 2 == 0 else int(char, 36) - (10 if char.isalpha() else 0)
        for index, char in enumerate(body)
    )
    return body + string.ascii_uppercase[total % 26]


def de_steuer_id(rng: Random) -> str:
    """German tax identification number: one digit of the first ten occurs twice, one is missing."""
    while True:
        pool = rng.sample(string.digits, 9)
        pool.append(rng.choice(pool))
        rng.shuffle(pool)
        body = "".join(pool)
        if body[0] != "0":
            text = body + mod11_10(body)
            return group(text, 2, 3) if rng.random() < 0.5 else text


def de_rvnr(rng: Random) -> str:
    """German pension insurance number."""
    letter = rng.choice(string.ascii_uppercase)
    head = f"{rng.choice(['02', '04', '08', '10', '12', '13', '17', '19', '24', '53', '65'])}{day(rng):%d%m%y}"
    serial = _serial(rng, 2)
    number = f"{head}{ord(letter) - 64:02}{serial}"
    products = (
        int(d) * w
        for d, w in zip(number, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True)
    )
    check = sum(product // 10 + product % 10 for product in products) % 10
    text = f"{head}{letter}{serial}{check}"
    return group(text, 2, 6, 1, 3) if rng.random() < 0.5 else text


def nl_bsn(rng: Random) -> str:
    """Dutch citizen service number."""
    while True:
        body = digits(rng, 8, "12345678")
        check = weighted(body, range(9, 1, -1)) % 11
        if check < 10:
            return f"{body}{check}"


def be_national(rng: Random) -> str:
    """Belgian national register number."""
    born = day(rng)
    body = f"{born:%y%m%d}{rng.randint(1, 997):03}"
    check = 97 - int(("2" if born.year >= 2000 else "") + body) % 97
    if rng.random() < 0.6:
        return f"{body[:2]}.{body[2:4]}.{body[4:6]}-{body[6:]}.{check:02}"
    return f"{body}{check:02}"


def pt_nif(rng: Random) -> str:
    """Portuguese tax number of a person."""
    body = digits(rng, 8, "12")
    check = 11 - weighted(body, range(9, 1, -1)) % 11
    text = f"{body}{0 if check > 9 else check}"
    return group(text, 3) if rng.random() < 0.4 else text


def pl_pesel(rng: Random) -> str:
    """Polish PESEL number."""
    born = day(rng)
    body = f"{born:%y}{born.month + (20 if born.year >= 2000 else 0):02}{born:%d}{digits(rng, 4)}"
    return f"{body}{-weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10}"


def se_personnummer(rng: Random) -> str:
    """Swedish personal number, short or with the century."""
    born = day(rng)
    body = f"{born:%y%m%d}{_serial(rng, 3)}"
    text = f"{body[:6]}-{body[6:]}{luhn(body)}"
    return f"{born.year // 100}{text}" if rng.random() < 0.5 else text


def no_fodselsnummer(rng: Random) -> str:
    """Norwegian national identity number with its two check digits."""
    while True:
        born = day(rng)
        individual = rng.randint(500, 999) if born.year >= 2000 else rng.randint(0, 499)
        body = f"{born:%d%m%y}{individual:03}"
        first = -weighted(body, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
        if first == 10:
            continue
        second = -weighted(f"{body}{first}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if second < 10:
            return f"{body[:6]}{rng.choice(['', '', ' '])}{body[6:]}{first}{second}"


def dk_cpr(rng: Random) -> str:
    """Danish CPR number of the classic kind that satisfies modulus 11."""
    while True:
        born = day(rng)
        body = f"{born:%d%m%y}{rng.choice('456789' if 2000 <= born.year < 2037 else '0123')}{digits(rng, 2)}"
        check = -weighted(body, (4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return f"{body[:6]}{rng.choice(['-', '-', ''])}{body[6:]}{check}"


def fi_hetu(rng: Random) -> str:
    """Finnish personal identity code."""
    born = day(rng)
    head, serial = f"{born:%d%m%y}", f"{rng.randint(2, 899):03}"
    return f"{head}{'A' if born.year >= 2000 else '-'}{serial}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(head + serial) % 31]}"


def is_kennitala(rng: Random) -> str:
    """Icelandic identity number."""
    while True:
        born = day(rng)
        body = f"{born:%d%m%y}{rng.randint(20, 99)}"
        check = -weighted(body, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return f"{body[:6]}-{body[6:]}{check}{'0' if born.year >= 2000 else '9'}"


def ch_ahv(rng: Random) -> str:
    """Swiss AHV number."""
    body = "756" + digits(rng, 9)
    text = body + ean13(body)
    return group(text, 3, 4, 4, 2, sep=".") if rng.random() < 0.8 else text


def ro_cnp(rng: Random) -> str:
    """Romanian personal numeric code."""
    born = day(rng)
    sex = rng.choice("56" if born.year >= 2000 else "12")
    body = f"{sex}{born:%y%m%d}{rng.randint(1, 46):02}{_serial(rng, 3)}"
    check = weighted(body, (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return f"{body}{1 if check == 10 else check}"


def bg_egn(rng: Random) -> str:
    """Bulgarian unified civil number."""
    born = day(rng)
    body = f"{born:%y}{born.month + (40 if born.year >= 2000 else 0):02}{born:%d}{digits(rng, 3)}"
    return f"{body}{weighted(body, (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10}"


def hr_oib(rng: Random) -> str:
    """Croatian personal identification number."""
    body = digits(rng, 10)
    return body + mod11_10(body)


def _jmbg(rng: Random, regions: range) -> str:
    while True:
        born = day(rng)
        body = (
            f"{born:%d%m}{born.year % 1000:03}{rng.choice(regions):02}{digits(rng, 3)}"
        )
        check = -weighted(body, (7, 6, 5, 4, 3, 2) * 2) % 11
        if check < 10:
            return f"{body}{check}"


def rs_jmbg(rng: Random) -> str:
    """Serbian citizen number (JMBG)."""
    return _jmbg(rng, range(71, 80))


def si_emso(rng: Random) -> str:
    """Slovenian citizen number (EMŠO)."""
    return _jmbg(rng, range(50, 51))


def baltic(rng: Random) -> str:
    """Lithuanian and Estonian personal code, which share one algorithm."""
    born = day(rng)
    body = f"{rng.choice('56' if born.year >= 2000 else '34')}{born:%y%m%d}{digits(rng, 3)}"
    check = weighted(body, (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(body, (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return f"{body}{check}"


def lv_pk(rng: Random) -> str:
    """Latvian personal code of the kind that holds the birth date."""
    born = day(rng)
    body = f"{born:%d%m%y}{born.year // 100 - 18}{digits(rng, 3)}"
    check = (1 + weighted(body, (10, 5, 8, 4, 2, 1, 6, 3, 7, 9))) % 11 % 10
    return f"{body[:6]}{rng.choice(['-', '-', ''])}{body[6:]}{check}"


def cz_rc(rng: Random) -> str:
    """Czech and Slovak birth number (ten digits, born since 1954)."""
    born = day(rng, 1955)
    body = f"{born:%y}{born.month + rng.choice([0, 50]):02}{born:%d}{digits(rng, 3)}"
    return f"{body[:6]}{rng.choice(['/', '/', ''])}{body[6:]}{int(body) % 11 % 10}"


def gr_amka(rng: Random) -> str:
    """Greek social security number (AMKA)."""
    body = f"{day(rng):%d%m%y}{digits(rng, 4)}"
    return body + luhn(body)


def gb_nhs(rng: Random) -> str:
    """NHS number of England and Wales."""
    while True:
        body = digits(rng, 9, "4679")
        check = -weighted(body, range(10, 1, -1)) % 11
        if check < 10:
            text = f"{body}{check}"
            return group(text, 3, 3, 4) if rng.random() < 0.6 else text


def ie_pps(rng: Random) -> str:
    """Irish personal public service number."""
    body, second = digits(rng, 7), rng.choice(["", "A", "A", "B"])
    total = (
        weighted(body, range(8, 1, -1)) + (ord(second) - 64) * 9
        if second
        else weighted(body, range(8, 1, -1))
    )
    return f"{body}{'WABCDEFGHIJKLMNOPQRSTUV'[total % 23]}{second}"


def ua_rnokpp(rng: Random) -> str:
    """Ukrainian taxpayer number."""
    days = rng.randint(15000, 38000)
    body = f"{days:05}{digits(rng, 4)}"
    return f"{body}{weighted(body, (-1, 5, 7, 9, 4, 6, 10, 5, 7)) % 11 % 10}"
