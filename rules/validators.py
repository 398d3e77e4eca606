"""Validators confirm a finding: check digits, calendars, entropy.

Each takes the finding's text and says yes or no; none raises.

National numbers are checked by python-stdnum, telephone numbers by phonenumbers; a rule
names them `fr.nir`, `iban`, `phone`, `phone.FR`.
"""

import importlib
import math
import pkgutil
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from functools import cache

import phonenumbers
import stdnum

from rules.check_digits import CHECKS

Validator = Callable[[str], bool]
LONGEST = 64  # characters; no number with a check digit is longer
SHORTEST_PHONE = 8  # digits, with the 0 in front
# Countries that a phone number without a country's code may be of, in `phone.national`.
REGIONS = (
    *("IN", "BR", "IL", "TR", "KR", "PH", "TH", "NG", "ZA", "AU", "SE", "FI"),
    *("PL", "SG", "JP", "NL", "AT", "US", "CA"),
)

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_BETWEEN = re.compile(r"[ .\u00a0\u2009\u202f-]+")
_NO_DIGITS = re.compile(r"\D", re.ASCII)


def luhn(text: str) -> bool:
    """ISO/IEC 7812-1: cards, IMEIs and others. Anything but digits is skipped."""
    digits = [int(digit) for digit in _NO_DIGITS.sub("", text)]
    return (
        len(digits) > 1
        and (sum(digits[-1::-2]) + sum(_DOUBLED[digit] for digit in digits[-2::-2]))
        % 10
        == 0
    )


def _bare(text: str) -> str:
    """A number without what people put between its groups."""
    return _BETWEEN.sub("", text)


def iban(text: str) -> bool:
    """ISO 13616: the remainder by 97.

    The detector's pattern knows the countries' lengths.
    """
    compact = _bare(text).upper()
    if not (compact.isascii() and compact.isalnum() and 15 <= len(compact) <= 34):
        return False
    return (
        int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4]))
        % 97
        == 1
    )


def calendar(text: str) -> bool:
    """A day of the years 1900 to 2100, as y-m-d, d/m/y or m/d/y."""
    numbers = [int(number) for number in re.findall(r"\d{1,4}", text, re.ASCII)]
    if len(numbers) != 3:
        return False
    first, second, third = numbers
    for year, month, day in (
        (first, second, third),
        (third, second, first),
        (third, first, second),
    ):
        try:
            if 1900 <= date(year, month, day).year <= 2100:
                return True
        except ValueError:
            continue
    return False


def national_phone(text: str) -> bool:
    """A phone number as people of one of many countries write it at home."""
    enough = len(_NO_DIGITS.sub("", text)) >= SHORTEST_PHONE
    return enough and any(_phone(region)(text) for region in REGIONS)


def entropy(text: str) -> float:
    """Bits per character, by Shannon, of the text's own distribution."""
    if not text:
        return 0.0
    counts = Counter(text)
    return math.log2(len(text)) - sum(
        count * math.log2(count) for count in counts.values()
    ) / len(text)


@cache
def validator(name: str) -> Validator | None:
    """The validator of that name; None where there is none."""
    own = {
        "luhn": luhn,
        "iban": iban,
        "date": calendar,
        "phone.national": national_phone,
        **CHECKS,
    }.get(name)
    if own is not None:
        return own
    if name == "phone" or re.fullmatch(r"phone\.[A-Z]{2}", name):
        region = name.partition(".")[2]
        return (
            _phone(region)
            if not region or region in phonenumbers.SUPPORTED_REGIONS
            else None
        )
    return (
        _numbers(name)
        if name in names()
        and hasattr(importlib.import_module(f"stdnum.{name}"), "is_valid")
        else None
    )


@cache
def names() -> frozenset[str]:
    """All names but those of telephones."""
    modules = pkgutil.walk_packages(stdnum.__path__, "stdnum.")
    return frozenset(
        {
            "luhn",
            "iban",
            "date",
            "phone",
            "phone.national",
            *CHECKS,
            *(
                module.name.removeprefix("stdnum.")
                for module in modules
                if not module.ispkg
            ),
        }
    )


@cache
def _numbers(name: str) -> Validator:
    check: Validator = importlib.import_module(f"stdnum.{name}").is_valid

    def valid(text: str) -> bool:
        try:
            return len(text) <= LONGEST and (check(text) or check(_bare(text)))
        except (
            ValueError,
            IndexError,
            KeyError,
            TypeError,
        ):  # python-stdnum raises other errors for unexpected input, too
            return False

    return valid


@cache
def _phone(region: str) -> Validator:
    def valid(text: str) -> bool:
        try:
            return len(text) <= LONGEST and phonenumbers.is_valid_number(
                phonenumbers.parse(text, region or None)
            )
        except phonenumbers.NumberParseException:
            return False

    return valid
