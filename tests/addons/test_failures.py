"""What becomes of a call when a step raises; and that a logged failure has places alone, no values."""

import pytest

from addons.calls.failures import chain_of, place_of

SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"


def raising() -> None:
    raise ValueError(SECRET)


def wrapping() -> None:
    try:
        raising()
    except ValueError as error:
        raise RuntimeError(f"while reading {SECRET}") from error


def caught() -> RuntimeError:
    with pytest.raises(RuntimeError) as info:
        wrapping()
    return info.value


def test_a_chain_names_every_place_of_an_error_and_of_its_cause() -> None:
    chain = chain_of(caught())
    first, second = chain.split(" caused by ")
    assert [place.partition(":")[0] for place in first.split(" > ")][-2:] == [
        "test_failures.py"
    ] * 2
    assert second.count("test_failures.py:") == 2


def test_no_value_of_an_error_is_in_its_chain_or_its_place() -> None:
    error = caught()
    assert SECRET not in chain_of(error) + place_of(error)
    assert place_of(error) == chain_of(error).split(" caused by ")[0].split(" > ")[-1]


def test_a_chain_is_bounded_and_an_error_without_a_trace_has_one() -> None:
    def deep(left: int) -> None:
        if not left:
            raise ValueError
        deep(left - 1)

    with pytest.raises(ValueError) as info:
        deep(300)
    assert chain_of(info.value).count(" > ") == 39
    assert chain_of(ValueError()) == place_of(ValueError()) == "unknown"


def test_errors_that_caused_one_another_end_the_chain() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert chain_of(first) == "unknown caused by unknown"
