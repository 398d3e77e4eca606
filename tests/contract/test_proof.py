"""Control proves its answers to proxies, and proxies their records."""

from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from contract.proof import (
    NONCE_SHAPE,
    is_proven,
    is_signed,
    new_nonce,
    proof_of,
    record_key,
    record_mac,
)
from contract.unwrap import seal_key
from tests.support.shared import examples

SEAL = seal_key(Fernet.generate_key().decode())
ANSWER = ("a" * 32, "/internal/watermark/w/b", 200, b'{"seq":7}')


def test_a_proof_holds_for_one_answer_to_one_question() -> None:
    nonce, path, status, body = ANSWER
    proof = proof_of(SEAL, nonce, path, status, body)
    assert is_proven(proof, SEAL, nonce, path, status, body)
    others = (
        (seal_key(Fernet.generate_key().decode()), nonce, path, status, body),
        (SEAL, "b" * 32, path, status, body),
        (SEAL, nonce, "/internal/watermark/w/c", status, body),
        (SEAL, nonce, path, 304, body),
        (SEAL, nonce, path, status, b'{"seq":8}'),
    )
    assert not any(is_proven(proof, *other) for other in others)


@examples(50)
@given(proof=st.text(max_size=80))
def test_nothing_else_is_a_proof(proof: str) -> None:
    assert not is_proven(proof, SEAL, *ANSWER)


def test_nonces_have_a_shape_and_are_new() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(map(NONCE_SHAPE.fullmatch, nonces))


@examples(50)
@given(payload=st.binary(max_size=200), other=st.binary(max_size=200))
def test_a_mac_holds_for_one_record_and_one_key(payload: bytes, other: bytes) -> None:
    key = record_key("data key")
    mac = record_mac(key, payload).encode()
    assert is_signed(mac, key, payload)
    assert is_signed(mac, key, other) == (payload == other)
    assert not is_signed(mac, record_key("another"), payload)
    assert not is_signed(other, key, payload)
