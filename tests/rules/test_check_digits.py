"""Check digits that python-stdnum does not know, by numbers that were published."""

import pytest

from rules.check_digits import CHECKS
from rules.validators import names, validator

# From statutes, specimens of offices, and registers of companies.
REAL = {
    "au.medicare": ["2123 45670 1", "2123456701", "2123 45670 1/1"],
    "de.kvnr": ["A000500015"],
    "de.rvnr": ["15070649C103", "65 170839 J 003"],
    "de.lanr": ["123456601", "123456 601", "999999900"],
    "de.licence": ["B072RRE2I55"],
    "kr.business": ["220-81-62517", "124-81-00998", "116-82-00276", "1208147521"],
    "us.dea": ["F91234563", "AB1234563", "AP5836727"],
    "us.npi": ["1234567893", "1245319599"],
}
# Where the check digit stands, if not at the end.
PLACES = {"au.medicare": 8, "de.lanr": 6, "de.licence": 9}
CASES = [(name, number) for name, numbers in REAL.items() for number in numbers]


def test_every_check_has_a_published_number() -> None:
    assert REAL.keys() == CHECKS.keys()
    assert CHECKS.keys() <= names()


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_published_number_is_valid(name: str, number: str) -> None:
    check = validator(name)
    assert check is not None
    assert check(number)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_no_other_check_digit_is_valid(name: str, number: str) -> None:
    bare = [character for character in number if character.isalnum()]
    at = PLACES.get(name, len(bare) - 1)
    for other in set("0123456789") - {bare[at]}:
        changed = "".join([*bare[:at], other, *bare[at + 1 :]])
        assert not CHECKS[name](changed), changed


@pytest.mark.parametrize("name", sorted(CHECKS))
@pytest.mark.parametrize(
    "text", ["", "0", "abc", "000000000", "x" * 64, "١٢٣٤٥٦٧٨٩", "12345678901234567890"]
)
def test_what_has_another_form_is_no_number(name: str, text: str) -> None:
    assert not CHECKS[name](text)


@pytest.mark.parametrize(
    "text",
    [
        *("052-837-4419", "98204 61735", "(11) 98762-4410", "0532 618 44 07"),
        *("010-7734-2261", "081-734-5520", "040 7318842", "0803 441 7729"),
        *("0917 554 2210", "0044 7911 284610", "4152942782"),
    ],
)
def test_a_phone_number_is_one_of_some_country(text: str) -> None:
    check = validator("phone.national")
    assert check is not None
    assert check(text)


@pytest.mark.parametrize("text", ["", "0204-17", "1234567", "00000000", "1.2.3.4"])
def test_what_is_too_short_or_of_no_country_is_no_phone_number(text: str) -> None:
    check = validator("phone.national")
    assert check is not None
    assert not check(text)
