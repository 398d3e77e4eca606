"""Single sign-on reads what strangers write: tokens, key sets, claims and groups. Each is read, or refused with a reason."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from control.sign_in.attempt import LETTERS, USER_CODE, Attempt, new_user_code
from control.sign_in.provider import Away, _metadata_of
from control.sign_in.roles import Grant, Granted, granted, grants_of
from control.sign_in.tokens import (
    LONGEST,
    LONGEST_NAME,
    MOST_GROUPS,
    MOST_KEYS,
    SKEW,
    BadToken,
    Expected,
    described,
    groups_of,
    person_of,
    public_keys,
)
from tests.support.shared import examples

KEY = RSAKey.generate_key(2048, {"kid": "one"})
PUBLIC = public_keys({"keys": [KEY.as_dict(private=False)]})
EXPECTED = Expected("https://id.example", "us", "groups", "n")
NOW = int(time.time())
GOOD: dict[str, Any] = {"iss": "https://id.example", "aud": "us", "sub": "7", "nonce": "n", "iat": NOW, "exp": NOW + 300, "groups": ["a"]}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)


def token(claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one", **header}, claims, KEY)


def read(text: str) -> str:
    """Whom a token is about; why it is refused."""
    try:
        return person_of(text, PUBLIC, EXPECTED, NOW).subject
    except BadToken as error:
        return f"refused: {error}"


@examples(100)
@given(st.text(max_size=200) | st.lists(st.text(max_size=30), min_size=3, max_size=3).map(".".join))  # fmt: skip
def test_any_text_is_a_token_or_refused(text: str) -> None:
    assert read(text).startswith("refused: ")


@examples(100)
@given(st.dictionaries(st.sampled_from([*GOOD, "azp", "nbf", "at_hash", "amr", "auth_time", "acr", "options", "value"]), JSON, max_size=5))  # fmt: skip
def test_any_claims_are_read_or_refused(change: dict[str, Any]) -> None:
    """Whatever a claim is, the person is the one of the token, for us, and not past its end."""
    claims = {**GOOD, **change}
    try:
        text = token(claims)
    except (ValueError, TypeError):
        return  # no JSON
    told = read(text)
    if not told.startswith("refused: "):
        said = json.loads(json.dumps(claims))
        assert told == said["sub"] and said["iss"] == EXPECTED.issuer and said["nonce"] == "n"  # fmt: skip
        assert said["aud"] == "us" or "us" in said["aud"]
        assert said["exp"] >= NOW - SKEW


@examples(100)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "crit", "jwk", "jku", "x5c", "zip", "b64", "typ"]), JSON, max_size=4))  # fmt: skip
def test_any_header_is_refused_unless_the_provider_signed(header: dict[str, Any]) -> None:  # fmt: skip
    body = token(GOOD).split(".")
    from base64 import urlsafe_b64encode

    changed = urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": "one", **header}).encode()).decode().rstrip("=")  # fmt: skip
    if changed != body[0]:
        assert read(".".join([changed, *body[1:]])).startswith("refused: ")


def test_a_token_just_beyond_a_bound() -> None:
    assert read(token(GOOD)) == "7"
    assert read(token({**GOOD, "x": "y" * LONGEST})).startswith("refused: ")
    for change, told in (({"exp": NOW - SKEW + 1}, "7"), ({"exp": NOW - SKEW}, "refused"), ({"iat": NOW + SKEW}, "7"), ({"iat": NOW + SKEW + 1}, "refused"), ({"nbf": NOW + SKEW + 1}, "refused"), ({"sub": "s" * 255}, "s" * 255), ({"sub": "s" * 256}, "refused")):  # fmt: skip
        assert read(token({**GOOD, **change})).partition(":")[0] == told


def test_no_secret_key_is_a_key_of_the_provider() -> None:
    """An `oct` key in the set would let whoever reads it sign; private parts of others are not kept."""
    ec = ECKey.generate_key("P-256", {"kid": "two"})
    given = [OctKey.generate_key(256, {"kid": "oct"}).as_dict(), ec.as_dict(private=True), {**KEY.as_dict(private=False), "kid": "enc", "use": "enc"}, {"kty": "RSA"}, "x", None]  # fmt: skip
    keys = public_keys({"keys": given})
    assert list(keys) == ["two"] and not keys["two"].is_private
    assert len(public_keys({"keys": [{**KEY.as_dict(private=False), "kid": str(number)} for number in range(MOST_KEYS + 1)]})) == MOST_KEYS  # fmt: skip


@examples(100)
@given(JSON)
def test_any_document_is_keys_and_metadata_or_none(document: object) -> None:
    assert isinstance(public_keys(document), dict)
    assert groups_of(document) is None or all(isinstance(one, str) for one in groups_of(document) or ())  # fmt: skip
    if isinstance(document, dict):
        with pytest.raises(Away):
            _metadata_of({**document, "issuer": "https://id.example"}, "https://id.example")  # fmt: skip


def test_metadata_sends_secrets_to_no_open_place() -> None:
    good = {"issuer": "https://id.example", "authorization_endpoint": "https://id.example/a?x=1", "token_endpoint": "https://id.example/t", "jwks_uri": "https://id.example/k"}  # fmt: skip
    assert _metadata_of(good, "https://id.example").scopes == "openid profile email"
    more = {**good, "scopes_supported": ["groups", "offline_access", "x"], "token_endpoint_auth_methods_supported": ["client_secret_post"]}  # fmt: skip
    told = _metadata_of(more, "https://id.example")
    assert (told.scopes, told.by_basic) == ("openid profile email groups offline_access", False)  # fmt: skip
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        for url in ("http://id.example/x", "javascript:alert(1)", "https://u:p@id.example", "//x", "", None, 7, f"https://id.example/{'x' * 2000}"):  # fmt: skip
            with pytest.raises(Away, match=f"names no {name}"):
                _metadata_of({**good, name: url}, "https://id.example")
    with pytest.raises(Away, match="another issuer"):
        _metadata_of(good, "https://id.example/")


def test_who_somebody_is_to_people() -> None:
    name = described({"sub": "7", "email": "ada\n\x1b[31m@corp.example" + "x" * 200, "groups": ["a", 1, "b"]}, "groups")  # fmt: skip
    assert name.name.isprintable() and len(name.name) == LONGEST_NAME
    assert name.groups == ["a", "b"]
    assert described({"sub": "7", "email": " ", "name": "Ada"}, "roles")[1:] == ("Ada", None)  # fmt: skip
    assert described({"sub": "7"}, "groups").name == "7"
    assert len(groups_of(["a"] * (MOST_GROUPS + 1)) or ()) == MOST_GROUPS


# -- roles ------------------------------------------------------------------------------------------------------------

WRITTEN = {
    "platform=admin": [("platform", "admin", None)],
    " a b = auditor ; c=auditor+prompts:acme;": [("a b", "auditor", None), ("c", "auditor+prompts", "acme")],
    "CN=ops,OU=groups,DC=corp=operator": [("CN=ops,OU=groups,DC=corp", "operator", None)],
    "g=operator:acme;g=operator:globex": [("g", "operator", "acme"), ("g", "operator", "globex")],
    "/teams/x=auditor": [("/teams/x", "auditor", None)],
}  # fmt: skip
UNREADABLE = {
    "": "at least one group",
    ";": "at least one group",
    "platform": "parts like group=role",
    "=admin": "parts like group=role",
    "platform=root": "one of the roles admin, operator",
    "platform=metrics": "one of the roles",
    "platform=tenant": "one of the roles",
    "platform=admin:acme": "can bind the roles operator",
    "a=operator:": "to the id of a tenant",
    "a=operator:no such": "to the id of a tenant",
    "a=operator;b=admin;a=auditor": "gives the group a two roles, operator and auditor",
    "a=operator;a=auditor:acme": "two roles",
}


@pytest.mark.parametrize("written", WRITTEN)
def test_roles_are_read(written: str) -> None:
    assert list(grants_of(written)) == [Grant(*one) for one in WRITTEN[written]]  # type: ignore[arg-type]


@pytest.mark.parametrize("written", UNREADABLE)
def test_unreadable_roles_are_refused_with_a_sentence(written: str) -> None:
    with pytest.raises(ValueError, match=UNREADABLE[written].replace("+", r"\+")):
        grants_of(written)


GRANTS = st.lists(st.builds(Grant, st.sampled_from("abcd"), st.sampled_from(["admin", "operator", "auditor"]), st.none() | st.sampled_from(["acme", "globex"])), max_size=6)  # fmt: skip


@examples(100)
@given(GRANTS, st.lists(st.sampled_from("abcdxy"), max_size=4))
def test_nobody_gets_what_none_of_their_groups_gives(grants: list[Grant], groups: list[str]) -> None:  # fmt: skip
    gets = granted(grants, groups)
    mine = [one for one in grants if one.group in groups]
    if gets is None:
        assert not mine
        return
    assert gets.role == mine[0].role
    of_role = {one.tenant for one in mine if one.role == gets.role}
    assert gets.tenants is None if None in of_role else set(gets.tenants or ()) == of_role  # fmt: skip
    assert granted(grants, []) is None


def test_one_role_for_all_tenants_is_not_narrowed_by_another_group() -> None:
    grants = grants_of("team=operator:acme;ops=operator")
    assert granted(grants, ["team", "ops"]) == Granted("operator", None)
    assert granted(grants, ["team"]) == Granted("operator", ["acme"])


# -- attempts ---------------------------------------------------------------------------------------------------------


@examples(100)
@given(st.text(max_size=40))
def test_a_browser_is_sent_to_a_path_here(then: str) -> None:
    path = Attempt.new(then).then
    assert path == "/" or (path == then and path[0] == "/" and path[1:2] not in ("/", "\\"))  # fmt: skip


def test_a_code_for_people_has_no_letters_to_mistake() -> None:
    codes = {new_user_code() for _ in range(1000)}
    assert len(codes) == 1000 and all(USER_CODE.fullmatch(one) for one in codes)
    assert not set(LETTERS) & set("AEIOUY0123456789")
