"""Check-digit algorithms from the published national and ISO standards, written anew for the corpus."""

from collections.abc import Sequence

_D5 = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_P = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)
_INVERSE = "0432156789"


def weighted(number: str, weights: Sequence[int]) -> int:
    """Return the weighted sum of the digits of `number`."""
    return sum(
        int(digit) * weight for digit, weight in zip(number, weights, strict=True)
    )


def luhn(number: str) -> str:
    """Return the Luhn check digit that follows `number` (ISO/IEC 7812)."""
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def verhoeff(number: str) -> str:
    """Return the Verhoeff check digit that follows `number`."""
    state = 0
    for index, digit in enumerate(reversed(number), start=1):
        state = int(_D5[state][int(_P[index % 8][int(digit)])])
    return _INVERSE[state]


def mod11_10(number: str) -> str:
    """Return the ISO 7064 MOD 11,10 check digit that follows `number`."""
    state = 10
    for digit in number:
        state = ((state + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - state) % 10)


def mod11_2(number: str) -> str:
    """Return the ISO 7064 MOD 11-2 check character that follows `number`."""
    state = 0
    for digit in number:
        state = (state + int(digit)) * 2 % 11
    return "0123456789X"[(12 - state) % 11]


def mod97(text: str) -> int:
    """Return the remainder modulo 97 of alphanumeric `text` (letters count from A = 10)."""
    return int("".join(str(int(char, 36)) for char in text)) % 97


def iban(country: str, account: str) -> str:
    """Return the IBAN of a domestic account number (ISO 13616)."""
    return f"{country}{98 - mod97(account + country + '00'):02}{account}"


def ean13(number: str) -> str:
    """Return the thirteenth digit of an EAN-13 (also the Swiss AHV number)."""
    return str(-weighted(number, (1, 3) * 6) % 10)
