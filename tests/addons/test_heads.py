"""Keys and names in heads."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.calls.heads import names_agree, private_names, proxy_key


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (basic("any:KEY"), "KEY"), (basic("KEY:"), "KEY"), (basic("KEY"), "KEY"), (basic("a:b:c"), "b:c"), ("bearer  KEY ", "KEY"),
        ("", ""), ("Basic", ""), ("Basic !!!", ""), ("Basic é", ""), ("Basic /w==", ""), ("Digest x", ""),
    ],
)  # fmt: skip
def test_a_key_is_found_in_every_form_clients_send(header: str, key: str) -> None:
    assert proxy_key(header) == key


@given(st.text())
def test_any_header_gives_a_text(header: str) -> None:
    assert isinstance(proxy_key(header), str)


@pytest.mark.parametrize(
    "named",
    ["api.openai.com", "API.OPENAI.COM", "api.openai.com:443", "api.openai.com."],
)
def test_names_agree_however_they_are_written(named: str) -> None:
    assert names_agree("api.openai.com", [named], [named, None, ""])


def test_addresses_agree_with_and_without_brackets() -> None:
    assert names_agree("2606:4700::1", ["[2606:4700::1]:443"], ["2606:4700::1"])


@pytest.mark.parametrize(
    ("hosts", "others"),
    [
        (["evil.example"], []),
        (["a.example", "a.example"], []),
        (["a.example"], ["evil.example"]),
    ],
)
def test_names_that_differ_or_stand_twice_do_not_agree(
    hosts: list[str], others: list[str | None]
) -> None:
    assert not names_agree("a.example", hosts, others)


def test_what_is_between_client_and_proxy_is_named() -> None:
    assert private_names(
        [
            (b"Proxy-Authorization", b"Basic x"),
            (b"proxy-connection", b"close"),
            (b"X-Earthflow-Decision", b"1"),
            (b"Accept", b"*/*"),
            (b"Authorization", b"Bearer x"),
            (b"", b""),
            (b"x", b""),
        ]
    ) == [
        "Proxy-Authorization",
        "proxy-connection",
        "X-Earthflow-Decision",
    ]
