"""Check digits of numbers that python-stdnum does not know.

Each takes the finding's text, and skips what stands between groups of digits.
"""

import re
from collections.abc import Callable, Iterable, Sequence

_BETWEEN = re.compile(r"[\s.\u2010-\u2013/-]+")
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_COVERED = 8  # digits of an Australian Medicare number that its check digit covers


def au_medicare(text: str) -> bool:
    """Australia, Medicare card: weights 1, 3, 7, 9 over eight digits, modulo 10."""
    digits = _digits(text, r"[2-6]\d{9,10}")
    weighted = _sum(digits[:_COVERED], (1, 3, 7, 9) * 2)
    return bool(digits) and weighted % 10 == digits[_COVERED]


def de_kvnr(text: str) -> bool:
    """Germany, number of a health insurance card: § 290 SGB V, annex 1."""
    spelt = _spelt(text, r"[A-Z]\d{9}")
    return bool(spelt) and _cross(spelt[:-1], (1, 2) * 5) % 10 == spelt[-1]


def de_rvnr(text: str) -> bool:
    """Germany, pension insurance number: § 2 and § 4 VKVV."""
    spelt = _spelt(text, r"\d{8}[A-Z]\d{3}")
    weights = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)
    return bool(spelt) and _cross(spelt[:-1], weights) % 10 == spelt[-1]


def de_lanr(text: str) -> bool:
    """Germany, number of a physician: weights 4 and 9 over six digits."""
    digits = _digits(text, r"\d{9}")
    return any(digits) and -_sum(digits[:6], (4, 9) * 3) % 10 == digits[6]


def de_licence(text: str) -> bool:
    """Germany, driving licence card: weights 9 down to 1, modulo 11; X is 10."""
    bare = _BETWEEN.sub("", text).upper()
    if re.fullmatch(r"[A-P][0-9A-Z]{8}[0-9X][0-9A-Z]", bare) is None:
        return False
    values = [int(character, 36) for character in bare[:9]]
    return "0123456789X"[_sum(values, range(9, 0, -1)) % 11] == bare[9]


def kr_business(text: str) -> bool:
    """Korea, business number: weights 1, 3, 7, and the tens of five times the ninth."""
    digits = _digits(text, r"[1-9]\d{9}")
    weighted = _sum(digits[:9], (1, 3, 7, 1, 3, 7, 1, 3, 5))
    return bool(digits) and -(weighted + digits[8] * 5 // 10) % 10 == digits[9]


def us_dea(text: str) -> bool:
    """United States, DEA registration of a prescriber.

    The first, third and fifth digit, and twice the others; the last digit of the sum.
    """
    digits = _digits(text, r"[A-Z][A-Z9](\d{7})")
    return any(digits) and _sum(digits[:6], (1, 2) * 3) % 10 == digits[6]


def us_npi(text: str) -> bool:
    """United States, National Provider Identifier: ISO 7812-1 behind 80840."""
    digits = [8, 0, 8, 4, 0, *_digits(text, r"[12]\d{9}")]
    doubled = sum(_DOUBLED[digit] for digit in digits[-2::-2])
    return len(digits) > 5 and (sum(digits[-1::-2]) + doubled) % 10 == 0


CHECKS: dict[str, Callable[[str], bool]] = {
    "au.medicare": au_medicare,
    "de.kvnr": de_kvnr,
    "de.rvnr": de_rvnr,
    "de.lanr": de_lanr,
    "de.licence": de_licence,
    "kr.business": kr_business,
    "us.dea": us_dea,
    "us.npi": us_npi,
}


def _digits(text: str, form: str) -> list[int]:
    """The digits of a number, or of its only group; none where it has another form."""
    match = re.fullmatch(form, _BETWEEN.sub("", text).upper(), re.ASCII)
    return [int(digit) for digit in match[match.re.groups]] if match else []


def _spelt(text: str, form: str) -> list[int]:
    """The digits, with a letter as its place in the alphabet: A is 01, Z is 26."""
    bare = _BETWEEN.sub("", text).upper()
    if re.fullmatch(form, bare, re.ASCII) is None:
        return []
    places = (c if c.isdigit() else f"{ord(c) - ord('A') + 1:02d}" for c in bare)
    return [int(digit) for digit in "".join(places)]


def _sum(values: Iterable[int], weights: Iterable[int]) -> int:
    return sum(value * weight for value, weight in zip(values, weights, strict=False))


def _cross(values: Sequence[int], weights: Sequence[int]) -> int:
    """The sum of the digits of each weighted value."""
    products = (v * weight for v, weight in zip(values, weights, strict=True))
    return sum(product // 10 + product % 10 for product in products)
