"""Content encodings: any cut of the bytes gives the same text, and no bytes give more than the bound."""

import gzip
import itertools
import zlib
from collections.abc import Callable
from random import Random

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from addons.framing import decode as module
from addons.framing.decode import Undecodable, decode, decoder_for
from rules.exchange import Unreadable
from tests.support.shared import examples

ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", ENCODE)
def test_a_body_comes_back(encoding: str) -> None:
    text = b"some text, some text \xff" * 500
    assert decode(ENCODE[encoding](text), encoding) == text
    assert decode(ENCODE[encoding](text), f" {encoding.upper()} ") == text


@pytest.mark.parametrize("encoding", ENCODE)
@examples(50)
@given(text=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=5))
def test_any_cut_gives_the_same_text(
    encoding: str, text: bytes, cuts: list[int]
) -> None:
    encoded, decoder = ENCODE[encoding](text), decoder_for(encoding)
    assert decoder is not None
    edges = sorted({0, *(min(cut, len(encoded)) for cut in cuts), len(encoded)})
    pieces = [
        decoder.feed(encoded[start:end]) for start, end in itertools.pairwise(edges)
    ]
    assert b"".join(pieces) == text


@pytest.mark.parametrize("encoding", [name for name in ENCODE if name != "identity"])
def test_a_torn_or_foreign_body_is_unreadable(encoding: str) -> None:
    encoded = ENCODE[encoding](b"hello" * 100)
    for data in (encoded[:-1], b"plain text", encoded + b"trailing"):
        assert decode(data, encoding) == Unreadable("bad_encoding")


@pytest.mark.parametrize("encoding", [name for name in ENCODE if name != "identity"])
def test_a_bomb_stops_at_the_bound(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DECODED", 1024 * 1024)
    decoder = decoder_for(encoding)
    assert decoder is not None
    with pytest.raises(Undecodable):
        decoder.feed(ENCODE[encoding](b"\0" * 50_000_000))


@pytest.mark.parametrize("encoding", [name for name in ENCODE if name != "identity"])
def test_each_bound_holds_just_beyond_it(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # does not compress: the bound on size alone can stop it
    noise = Random(7).randbytes(4096)
    monkeypatch.setattr(module, "MAX_DECODED", len(noise))
    assert decode(ENCODE[encoding](noise), encoding) == noise
    assert decode(ENCODE[encoding](noise + b"x"), encoding) == Unreadable(
        "bad_encoding"
    )
    monkeypatch.undo()
    # up to here any ratio will do: beyond, it is the bound
    monkeypatch.setattr(module, "FREE_RATIO", 4096)
    assert decode(ENCODE[encoding](b"\0" * 4096), encoding) == b"\0" * 4096
    assert decode(ENCODE[encoding](b"\0" * 40_960), encoding) == Unreadable(
        "bad_encoding"
    )


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"  # a frame of zstd without content
A, B = b"the first " * 20, b"the second"
FORMS = {
    "two members": ("gzip", gzip.compress(A) + gzip.compress(B)),
    "an empty member": ("gzip", gzip.compress(b"") + gzip.compress(A + B)),
    "zeros behind": ("gzip", gzip.compress(A + B) + bytes(1024)),
    "zeros between": ("gzip", gzip.compress(A) + bytes(3) + gzip.compress(B)),
    "raw": ("deflate", raw_deflate(A + B)),
    "raw, stored": ("deflate", raw_deflate(Random(5).randbytes(300))),
    "zlib": ("deflate", zlib.compress(A + B, level=1)),
    "two frames": ("zstd", zstandard.compress(A) + zstandard.compress(B)),
    "a skippable frame": (
        "zstd",
        zstandard.compress(A) + SKIPPABLE + zstandard.compress(B),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_encoding_is_read_however_it_is_cut(form: str) -> None:
    encoding, body = FORMS[form]
    whole = Random(5).randbytes(300) if form == "raw, stored" else A + B
    assert decode(body, encoding) == whole
    for cut in range(len(body) + 1):
        decoder = decoder_for(encoding)
        assert decoder is not None
        assert decoder.feed(body[:cut]) + decoder.feed(body[cut:]) == whole
        assert decoder.complete
    bytewise = decoder_for(encoding)
    assert bytewise is not None
    assert b"".join(bytewise.feed(bytes([one])) for one in body) == whole


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_is_no_member_behind_a_member_is_unreadable(encoding: str) -> None:
    body = ENCODE[encoding](A)
    for behind in (b"\0x", b"x", body[:-1], b"\x1f\x8b"):
        assert decode(body + behind, encoding) == Unreadable("bad_encoding")


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_the_number_of_members_has_a_bound(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 50)
    member = ENCODE[encoding](b"x")
    assert decode(member * 50, encoding) == b"x" * 50
    assert decode(member * 51, encoding) == Unreadable("bad_encoding")


def test_an_encoding_we_do_not_speak_is_named_so() -> None:
    for encoding in ("rot13", "gzip, br", "gzip,gzip", "compress"):
        assert decode(b"x", encoding) == Unreadable("unknown_encoding")


@examples(100)
@given(st.binary(max_size=200), st.sampled_from([*ENCODE, "", "x", "gzip, gzip"]))
def test_any_bytes_give_bytes_or_unreadable(data: bytes, encoding: str) -> None:
    assert isinstance(decode(data, encoding), bytes | Unreadable)
