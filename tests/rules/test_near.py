"""Words near a finding: as prose has them, and as the names of fields."""

import pytest

from rules.patterns import compile_regex, near_as_regex

NEAR = compile_regex(near_as_regex(["phone number", "steuer-id", "tel"]))


@pytest.mark.parametrize(
    "text",
    ["Phone number:", "home_phone_number =", '"phoneNumber":', "PHONE-NUMBER", "steuerId", "steuer_id_2", "steuer id", "tel."],
)  # fmt: skip
def test_a_word_is_found_in_every_spelling(text: str) -> None:
    assert NEAR.search(text.encode()) is not None


@pytest.mark.parametrize("text", ["hotel", "my_tel", "telephonenumbering", "phone a number", "steuerlich"])  # fmt: skip
def test_a_piece_of_another_word_is_none(text: str) -> None:
    assert NEAR.search(text.encode()) is None


@pytest.mark.parametrize("word", ["-p", "--token", "C-", "-"])
def test_a_hyphen_at_an_edge_is_meant(word: str) -> None:
    found = compile_regex(near_as_regex([word]))
    assert found.search(f" {word} ".encode()) is not None
    assert found.search(b"mytoken help C p") is None
