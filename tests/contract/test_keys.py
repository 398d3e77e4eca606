"""Keys: format, checksum, digest."""

import re

from hypothesis import given
from hypothesis import strategies as st

from contract.keys import digest, mint, parse

SCANNERS = re.compile(
    r"ef_(live|test|adm|opr|aud|met)_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}"
)


def test_a_minted_key_has_the_published_shape_and_parses_back() -> None:
    key = mint()
    assert SCANNERS.fullmatch(key.text)
    assert parse(key.text) == key


def test_a_typo_anywhere_is_noticed_without_a_look_up() -> None:
    key = mint().text
    for place in range(8, len(key)):
        other = "0" if key[place] != "0" else "1"
        assert parse(key[:place] + other + key[place + 1 :]) is None


@given(st.text())
def test_any_text_gives_a_key_or_none(text: str) -> None:
    assert parse(text) is None


def test_a_key_prints_without_its_secret() -> None:
    key = mint()
    assert key.secret not in repr(key)


def test_the_digest_needs_the_pepper() -> None:
    assert digest(b"a" * 32, "secret") != digest(b"b" * 32, "secret")
