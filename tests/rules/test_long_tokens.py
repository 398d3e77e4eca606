"""Long tokens are found whole: at any length that their makers allow, no twelve characters of one stay readable."""

import base64
import json
import string
from collections.abc import Callable, Mapping
from functools import cache
from random import Random

import pytest

from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.sources import shipped
from tests.support.shared import library

rng = Random(20261129)
WORD = string.ascii_letters + string.digits
URL, BASE64 = WORD + "-_", WORD + "+/"
LENGTHS = (200, 260, 400, 700, 1200, 2500)
SHORTEST = 12


def some(alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def jwt(length: int) -> str:
    head = {"alg": "RS256", "typ": "JWT", "kid": some(WORD, 40)}
    claims = {"sub": "1", "pad": some(WORD, length)}
    return f"{encoded(head)}.{encoded(claims)}.{some(URL, 342)}"


# What is before a token, and the token of some length.
FORMATS: Mapping[str, tuple[str, Callable[[int], str]]] = {
    "JWT": ("", jwt),
    "AWS session": ("", lambda n: "IQoJb3JpZ2luX2Vj" + some(BASE64, n)),
    "Bedrock, short": ("", lambda n: "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t" + some(BASE64, n)),
    "Google access": ("", lambda n: "ya29.a0" + some(URL, n)),
    "Google auth key": ("", lambda n: "AQ.Ab8RN6" + some(URL, 44)),
    "1Password": ("", lambda n: "ops_eyJ" + some(WORD, n)),
    "Fly": ("", lambda n: "fm2_lJPE" + some(BASE64, n)),
    "Grafana": ("", lambda n: "glc_eyJ" + some(BASE64, n)),
    "Sentry": ("", lambda n: f"sntrys_eyJ{some(WORD, n)}=_{some(WORD, 43)}"),
    "GitLab, routable": ("", lambda n: f"glpat-{some(URL, min(n, 290))}.01.{some(string.ascii_lowercase, 9)}"),
    "GitHub, stateless": ("", lambda n: "ghs_123456_" + jwt(n)),
    "Vault": ("", lambda n: "hvs." + some(URL, n)),
    "Facebook": ("", lambda n: "EAAQ" + some(WORD, n)),
    "Dropbox": ("", lambda n: "sl.u.A" + some(URL, n)),
    "PyPI": ("", lambda n: "pypi-AgEIcHlwaS5vcmc" + some(URL, n)),
    "Atlassian": ("", lambda n: f"ATATT3xFfGF0{some(URL, n)}={some('0123456789ABCDEF', 8)}"),
    "Snyk": ("", lambda n: f"snyk_sat.12345678.eyJ{some(URL, n)}.{some(URL, 86)}"),
    "Kubernetes": ("", lambda n: f"eyJhbGciOiJSUzI1NiIsImtpZCI6{some(WORD, 40)}.eyJpc3MiOiJrdWJlcm5ldGVz{some(WORD, n)}.{some(URL, 342)}"),
    "a bearer": ("Authorization: Bearer ", lambda n: some(URL, n)),
    "a cookie": ("Cookie: sessionid=", lambda n: some(URL, n)),
    "a variable": ("SERVICE_TOKEN=", lambda n: some(WORD, n)),
}  # fmt: skip
AROUND = ("log: {} end", '{{"value": "{}"}}', "x = {}\n")


@cache
def book() -> Rulebook:
    return library(shipped()).rulebook("default")


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_of_a_long_token_stays(name: str) -> None:
    before, make = FORMATS[name]
    for around in AROUND:
        for length in LENGTHS:
            token = make(length)
            text = around.format(before + token)
            parts = (Part(text, "tool", "tool_result", 0),)
            verdict = evaluate(book(), Exchange(parts=parts), key=b"k")
            (kept,) = json.loads(splice(json.dumps([text]).encode(), verdict.edits))
            # The beginning may be a word that tells what it was.
            pieces = {token[at : at + SHORTEST] for at in range(SHORTEST, len(token) - SHORTEST + 1)}  # fmt: skip
            assert not [piece for piece in pieces if piece in kept], (around, length)
