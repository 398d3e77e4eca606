"""What leaves with the head of a call is seen by rules; a provider's own credential is none of their business."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.calls.clean_texts import CleanTexts
from addons.calls.head_parts import head_parts
from addons.calls.reading import CallRequest, judge, read, shown
from addons.providers import Directory
from addons.providers.provider import CredentialPlaces
from rules.exchange import NOWHERE
from rules.scan import Clean
from rules.sources import shipped
from tests.support.house import AWS_KEY
from tests.support.shared import library

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PLACES = CredentialPlaces(
    headers=frozenset(["authorization"]),
    queries=frozenset(["key"]),
    cookies=frozenset(["session"]),
)
GITHUB = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7aB3dE6gH9"[:36]
OURS = "ef_live_0123456789AB_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG_012345"
PEM = "-----BEGIN PRIVATE KEY----- MIIEpAIBAAKCAQEA7bq1mZr0c2xk9v3T8yQ4wLh5sJd6fGa1pNn2"
TEXT = st.text(max_size=30)
FIELDS = st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=30)), max_size=6)


@given(TEXT, TEXT, TEXT, FIELDS)
def test_any_head_has_parts_and_nothing_of_it_is_left_out(
    method: str, path: str, query: str, fields: list[tuple[bytes, bytes]]
) -> None:
    parts = head_parts(method, f"/{path}", query, fields, PLACES)
    assert {(part.role, part.literal) for part in parts} <= {("other", NOWHERE)}
    text = "\n".join(part.text for part in parts)
    assert method in text
    for name, value in fields:
        if name.lower() not in (b"host", b"content-length", b"cookie"):
            assert value.decode("utf-8", "replace") in text


def test_each_place_has_its_part() -> None:
    fields = [
        (b"Host", b"h"),
        (b"Authorization", b"Bearer x"),
        (b"User-Agent", b"a/1"),
        (b"Cookie", b"session=1; theme=dark"),
    ]
    parts = head_parts(
        "POST", "/v1/a%2Fb;p=1/../c", "a=1&KEY=2&b=%2541", fields, PLACES
    )
    assert [(part.kind, part.text) for part in parts] == [
        ("head", "POST /v1/a/b;p=1/../c?a=1&b=A"),
        ("head", "User-Agent: a/1\ncookie: theme=dark"),
        ("credential", "KEY=2"),
        ("credential", "Authorization: Bearer x"),
        ("credential", "cookie: session=1"),
    ]


def verdict(
    preset: str = "default",
    *,
    host: str = "api.openai.com",
    method: str = "POST",
    path: str = "/v1/chat/completions",
    query: str = "",
    body: bytes = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}',
    clean: Clean | None = None,
    **fields: str,
) -> tuple[str, str, str]:
    """The action on a call, and the model and path that its record has."""
    provider = Directory().of(host)
    assert provider is not None
    sent = tuple(
        (name.replace("_", "-").encode(), value.encode())
        for name, value in {"content_type": "application/json", **fields}.items()
    )
    request = CallRequest(
        provider, host, method, path, query, body, "", NOW, fields=sent
    )
    reading = read(request, "t")
    judged = judge(reading, library(shipped()).rulebook(preset), key=b"k", clean=clean)
    known = provider.template(path.lower())
    seen = shown(reading.exchange, judged.verdict)
    return judged.verdict.action, seen.model, known or seen.path


@pytest.mark.parametrize(
    "call",
    [
        {"OpenAI_Organization": AWS_KEY},
        {"OpenAI_Project": AWS_KEY},
        {"User_Agent": PEM},
        {"User_Agent": f"curl/8 {AWS_KEY}"},
        {"Cookie": f"a={AWS_KEY}"},
        {"Content_Type": f"application/json; x={AWS_KEY}"},
        {"Accept": AWS_KEY},
        {AWS_KEY: "1"},
        {"X_Forwarded_For": AWS_KEY},
        {"Traceparent": f"00-{AWS_KEY}"},
        {"path": f"/v1/chat/completions;{AWS_KEY}"},
        {"path": f"/v1/{AWS_KEY}/../chat/completions"},
        {"path": f"/v1/./chat/completions/?{AWS_KEY}"},
        {"path": "/v1/chat/completions;%2541KIAQYLPMN5HHHFPZAM2"},
        {"method": AWS_KEY},
        {"query": f"note={AWS_KEY}"},
        {"query": f"{AWS_KEY}=1"},
        {"method": "GET", "body": b"", "path": f"/v1/models/{AWS_KEY}"},
        {"method": "DELETE", "body": b"", "path": f"/v1/files/{AWS_KEY}"},
        {"Authorization": f"Bearer {OURS}"},
        {"Authorization": PEM},
        {"host": "generativelanguage.googleapis.com", "path": "/v1/models", "query": f"key={OURS}"},
    ],
)  # fmt: skip
def test_a_secret_in_a_head_is_refused_wherever_it_stands(call: dict[str, str]) -> None:
    action, model, path = verdict(**call)  # type: ignore[arg-type]
    assert action == "BLOCK"
    assert AWS_KEY.lower() not in (model + path).lower()


CREDENTIALS: list[tuple[dict[str, Any], str]] = [
    ({"Authorization": f"Bearer {GITHUB}"}, "FLAG"),
    ({"host": "api.githubcopilot.com", "path": "/chat/completions", "Authorization": f"Bearer {GITHUB}"}, "ALLOW"),
    ({"Authorization": "Bearer sk-proj-aB3dE6gH9jK2mN5pQ8sT1vW4yZ7aB3dE6gH9jK2mN5pQ8sT1vW4yZ7"}, "ALLOW"),
    ({"X_Note": "password = hunter2hunter2Q9"}, "FLAG"),
    ({"host": "generativelanguage.googleapis.com", "path": "/v1beta/models/gemini-2.5-pro:generateContent",
      "query": "key=AIzaSyD4k8Qm2Xw7Vb9Nc3Lf6Hj1Tr5Yp0Zs8Ga", "body": b'{"contents": []}'}, "ALLOW"),
    ({"host": "acme.openai.azure.com", "path": "/openai/deployments/rt/chat/completions",
      "query": "api-version=2025-04-01-preview&api-key=f4acc945a2f3be126c54d5ffc41fb733"}, "ALLOW"),
    ({"host": "bedrock-runtime.eu-west-3.amazonaws.com", "path": "/model/m/converse", "body": b'{"messages": []}',
      "Authorization": f"AWS4-HMAC-SHA256 Credential={AWS_KEY}/20261128/eu-west-3/bedrock/aws4_request, Signature=0f"}, "ALLOW"),
    ({"method": "GET", "body": b"", "path": "/v1/models"}, "ALLOW"),
    ({"method": "DELETE", "body": b"", "path": "/v1/files/file-abc123"}, "ALLOW"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "expected"), CREDENTIALS)
def test_a_credential_in_its_place_is_no_content(
    call: dict[str, Any], expected: str
) -> None:
    assert verdict(**call)[0] == expected


def test_a_credential_that_was_found_clean_is_clean_there_only() -> None:
    memory = CleanTexts().of("t", "1")
    for _ in range(2):  # one that was allowed at its provider is flagged at another
        for call, expected in reversed(CREDENTIALS):
            assert verdict(clean=memory, **call)[0] == expected
    written = {"User_Agent": f"Authorization: Bearer {GITHUB}"}
    assert verdict(clean=memory, **written)[0] == "BLOCK"


@pytest.mark.parametrize("preset", ["default", "strict", "monitor"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_calls_that_read_are_known_under_every_preset(preset: str, method: str) -> None:
    assert verdict(preset, method=method, body=b"", path="/v1/models")[0] == "ALLOW"


def test_a_record_says_of_a_model_what_may_leave() -> None:
    body = b'{"model": "%s", "messages": []}' % AWS_KEY.encode()
    assert verdict(body=body)[:2] == ("REDACT", "(withheld)")
    assert verdict("monitor", body=body)[:2] == ("ALLOW", "(withheld)")
    assert verdict()[1] == "m"
