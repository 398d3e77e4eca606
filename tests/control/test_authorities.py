"""The roots of interception: made once, certified by one another, closed under the data key."""

import json

import pytest
from cryptography import x509
from cryptography.fernet import Fernet

from contract.authority import (
    ask,
    certificate_pem,
    fingerprint,
    is_root,
    issue,
    make_root,
    new_key,
    not_covered,
    signs_leaves_only,
)
from contract.providers import ai_hosts
from control.state import State
from control.store import authorities, master_keys
from control.store.authorities import NotNow, RootOffline
from tests.control.test_api import admin
from tests.control.test_api import ask as request_of
from tests.support.house import House, Tenant

HOSTS = ["api.openai.com"]


async def add(
    state: State, certificate: x509.Certificate | None = None, *, beside: bool = False
) -> list[authorities.Root]:
    return await authorities.add(state.pool, state.vault, certificate, beside=beside)


def chain(state: State, roots: list[authorities.Root]) -> list[x509.Certificate]:
    pem = authorities.issued(state.vault, roots, ask(new_key()), HOSTS)
    return x509.load_pem_x509_certificates(pem.encode())


async def test_a_root_is_made_once_and_its_key_lies_closed(state: State) -> None:
    (root,) = await add(state)
    assert root.key is not None
    assert "PRIVATE KEY" not in root.key + root.certificate
    with pytest.raises(NotNow, match="There is a CA already"):
        await add(state)
    (issuer,) = chain(state, [root])
    assert issuer.issuer == root.parsed.subject
    assert not_covered(issuer, HOSTS) == []
    assert not_covered(issuer, ai_hosts()) != []


async def test_a_root_beside_another_is_certified_by_it_until_it_is_retired(
    state: State,
) -> None:
    await add(state)
    old, new = await add(state, beside=True)
    issuer, certified = chain(state, [old, new])
    assert issuer.issuer == certified.subject == new.parsed.subject
    assert certified.issuer == old.parsed.subject
    assert certified.public_key() == new.parsed.public_key()
    with pytest.raises(NotNow, match="being replaced already"):
        await add(state, beside=True)
    roots = await authorities.retire(state.pool)
    assert [root.retired is None for root in roots] == [False, True]
    assert len(chain(state, roots)) == 1
    with pytest.raises(NotNow, match="not being replaced"):
        await authorities.retire(state.pool)


async def test_an_early_root_is_certified_by_the_new_one_instead(state: State) -> None:
    early = make_root("Early", leaves_only=True)
    assert signs_leaves_only(early.certificate)
    await add(state, early.certificate)
    roots = await add(state, beside=True)
    pem = authorities.issued(
        state.vault, roots, ask(early.key, early.certificate.subject), HOSTS
    )
    (issuer,) = x509.load_pem_x509_certificates(pem.encode())
    assert not is_root(issuer)
    assert issuer.public_key() == early.certificate.public_key()
    assert issuer.issuer == roots[-1].parsed.subject


async def test_a_root_whose_key_is_offline_signs_nothing_here(state: State) -> None:
    with pytest.raises(NotNow, match="earthflow ca init"):
        authorities.issued(state.vault, [], ask(new_key()), HOSTS)
    roots = await add(state, make_root().certificate)
    with pytest.raises(RootOffline, match="earthflow ca sign"):
        authorities.issued(state.vault, roots, ask(new_key()), HOSTS)
    with pytest.raises(NotNow, match="cannot certify"):
        await add(state, beside=True)


async def test_a_rotated_master_key_opens_the_roots_key(state: State) -> None:
    roots = await add(state)
    new = Fernet.generate_key().decode()
    await master_keys.rotate(state.pool, state.vault, new)
    vault = await master_keys.open_vault(state.pool, new)
    assert authorities.issued(vault, roots, ask(new_key()), HOSTS)
    assert await master_keys.verify(state.pool, new) == 1


def test_only_an_admin_has_a_say(house: House, tenant: Tenant) -> None:
    key = ("-H", f"X-API-Key: {tenant.key}")
    for path, *words in (
        ("/v1/ca",),
        ("/v1/ca", "-d", "{}"),
        ("/v1/ca/issue", "-d", "{}"),
        ("/v1/ca/finish", "-X", "POST"),
    ):
        assert request_of(house, path, *words, *key)[0] == 403
        assert request_of(house, path, *words)[0] == 401


@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        ("/v1/ca", '{"certificate": "x", "beside": true}', 400, "no PEM certificate"),
        ("/v1/ca", "{}", 409, "There is a CA already"),
        ("/v1/ca", '{"certificate": 1}', 400, "not what is expected"),
        ("/v1/ca/issue", '{"request": "x", "hosts": ["a.example"]}', 400, "cannot be signed"),
        ("/v1/ca/issue", '{"request": "x", "hosts": []}', 400, "not what is expected"),
        ("/v1/ca/finish", "{}", 409, "not being replaced"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_sentence(
    house: House, path: str, body: str, status: int, sentence: str
) -> None:
    given, told = request_of(house, path, "-d", body, *admin(house))
    assert given == status
    assert sentence in told["error"]["message"]


def test_a_leafs_certificate_is_no_root(house: House) -> None:
    leaf = x509.load_pem_x509_certificate(issue(make_root(), ["x.example"])[0])
    body = json.dumps({"certificate": certificate_pem(leaf).decode(), "beside": True})
    given, told = request_of(house, "/v1/ca", "-d", body, *admin(house))
    assert (given, "is no CA's" in told["error"]["message"]) == (400, True)


def test_the_roots_are_shown_without_their_keys(house: House) -> None:
    _, told = request_of(house, "/v1/ca", *admin(house))
    (root,) = told["roots"]
    certificate = x509.load_pem_x509_certificate(root["certificate"].encode())
    assert root["sha256"] == fingerprint(certificate)
    assert (root["key"], root["state"]) == ("sealed", "in use")
    assert "PRIVATE" not in str(told)
