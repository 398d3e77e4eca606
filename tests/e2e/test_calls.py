"""Real AI clients talk through Earthflow: allowed, redacted, blocked, streamed."""

import asyncio
import json
import threading

import anthropic
import openai
import pytest

from cli.client import Control
from tests.support.house import (
    AWS_KEY,
    PATIENCE,
    RESTRICTED,
    House,
    Tenant,
    message,
    without_hashes,
)

SCHEMES = ("http", "https")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_openai_call_is_allowed_and_recorded(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    answer = tenant.openai(monkeypatch, scheme).chat.completions.create(
        model="gpt-5.2", messages=[{"role": "user", "content": "Hello"}]
    )
    assert answer.choices[0].message.content.startswith("You wrote")
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"], row["provider"], row["model"]) == (
        "ALLOW",
        "full",
        "openai",
        "gpt-5.2",
    )
    assert (
        row["completion"]["status"],
        row["completion"]["input_tokens"],
        row["completion"]["output_tokens"],
    ) == (200, 11, 5)
    assert row["prompt_hash"].startswith("hmac-sha256:")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_anthropic_call_is_allowed_and_recorded(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    answer = tenant.anthropic(monkeypatch, scheme).messages.create(
        model="claude-sonnet-5",
        max_tokens=10,
        messages=[{"role": "user", "content": "Hello"}],
    )
    assert answer.content[0].text.startswith("You wrote")
    (row,) = tenant.audit(1)
    assert (row["status"], row["provider"], row["completion"]["output_tokens"]) == (
        "ALLOW",
        "anthropic",
        5,
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_talks_through_both_kinds_of_proxy_url(
    tenant: Tenant, scheme: str
) -> None:
    done = tenant.curl(
        "-d",
        message("Hello").decode(),
        "https://api.openai.com/v1/chat/completions",
        scheme=scheme,
    )
    assert json.loads(done.stdout)["object"] == "chat.completion", done.stderr
    assert tenant.audit(1)[0]["status"] == "ALLOW"


def test_a_redacted_value_does_not_arrive_and_all_else_does_byte_for_byte(
    house: House, tenant: Tenant
) -> None:
    body = (
        '{ "model":"gpt-5.2",  "seed": 12345678901234567890123, "temperature":1e0,\n "messages":[{"role":"user",'
        f'"content":"caf\\u00e9 \\"{AWS_KEY}\\" \\/ \\ud83d\\ude00 é 中"}}] }}'
    )
    status, _ = tenant.post(body.encode())
    assert status == 200
    assert without_hashes(house.providers.heard[-1].body).decode() == body.replace(
        AWS_KEY, "[REDACTED:credentials_aws_access_key_*]"
    )
    (row,) = tenant.audit(1)
    assert row["status"] == "REDACT"
    (found,) = row["rules"][0].pop("findings")
    assert row["rules"][0] == {
        "rule": "credentials.aws-access-key",
        "action": "REDACT",
        "severity": "critical",
        "count": 1,
    }
    assert found.pop("placeholder").encode() in house.providers.heard[-1].body
    assert found == {
        "part": 2,
        "role": "user",
        "kind": "text",
        "offset": 6,
        "length": len(AWS_KEY),
    }


def test_a_blocked_openai_call_is_one_request_whose_error_names_the_decision(
    house: House, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(house.providers.heard)
    with pytest.raises(openai.BadRequestError) as caught:
        tenant.openai(monkeypatch).chat.completions.create(
            model="gpt-5.2",
            messages=[{"role": "user", "content": RESTRICTED}],
        )
    (row,) = tenant.audit(1)
    assert row["status"] == "BLOCK"
    assert row["id"] in caught.value.message
    assert caught.value.code == "earthflow_blocked"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(house.providers.heard) == before


def test_a_blocked_anthropic_call_is_one_request_whose_error_names_the_decision(
    house: House, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(house.providers.heard)
    with pytest.raises(anthropic.BadRequestError) as caught:
        tenant.anthropic(monkeypatch).messages.create(
            model="claude-sonnet-5",
            max_tokens=10,
            messages=[{"role": "user", "content": "Strictly confidential: the plan"}],
        )
    (row,) = tenant.audit(1)
    assert row["id"] in caught.value.message
    assert row["rules"][0]["rule"] == "confidential.marking"
    assert row["completion"]["outcome"] == "refused"
    assert len(house.providers.heard) == before


def test_the_monitor_preset_acts_on_nothing_and_says_what_it_would_have_done(
    house: House,
) -> None:
    tenant = house.tenant("monitor")
    status, _ = tenant.post(message(f"{RESTRICTED} {AWS_KEY}"))
    assert status == 200
    assert AWS_KEY.encode() in house.providers.heard[-1].body
    (row,) = tenant.audit(1)
    assert (row["status"], row["would"]) == ("ALLOW", "BLOCK")
    assert all(fired["would"] for fired in row["rules"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_answer_streams_token_by_token(
    house: House, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The provider sends each further token only once the client has shown the one before."""
    shown = threading.Semaphore(0)

    async def wait(token: int) -> None:
        assert await asyncio.to_thread(shown.acquire, timeout=PATIENCE)

    monkeypatch.setattr(house.providers, "wait", wait)
    tokens = []
    stream = tenant.openai(monkeypatch, scheme).chat.completions.create(
        model="gpt-5.2",
        stream=True,
        stream_options={"include_usage": True},
        messages=[{"role": "user", "content": "Count"}],
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            tokens.append(chunk.choices[0].delta.content)
            shown.release()
    assert "".join(tokens).startswith("You wrote")
    assert len(tokens) == 4
    (row,) = tenant.audit(1)
    assert (row["status"], row["stream"], row["completion"]["output_tokens"]) == (
        "ALLOW",
        True,
        4,
    )
    assert row["completion"]["first_byte_ms"] is not None


def test_an_anthropic_stream_completes_with_its_tokens_counted(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenant.anthropic(monkeypatch).messages.stream(
        model="claude-sonnet-5",
        max_tokens=10,
        messages=[{"role": "user", "content": "Count"}],
    ) as stream:
        assert "".join(stream.text_stream).startswith("You wrote")
    completion = tenant.audit(1)[0]["completion"]
    assert (
        completion["input_tokens"],
        completion["output_tokens"],
        completion["outcome"],
    ) == (12, 4, "ok")


def test_a_client_that_drops_mid_stream_is_recorded_so(
    house: House, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    async def wait(token: int) -> None:
        await asyncio.to_thread(go_on.wait, PATIENCE)

    monkeypatch.setattr(house.providers, "wait", wait)
    try:
        client = tenant.openai(monkeypatch)
        stream = client.chat.completions.create(
            model="gpt-5.2",
            stream=True,
            messages=[{"role": "user", "content": "Count"}],
        )
        next(iter(stream))
        stream.close()
        client.close()
        (row,) = tenant.audit(1)
    finally:
        go_on.set()
    assert (row["status"], row["completion"]["outcome"]) == ("ALLOW", "client_abort")


def test_two_tenants_see_only_their_own_audit(house: House, tenant: Tenant) -> None:
    other = house.tenant()
    tenant.post(message("mine"))
    tenant.audit(1)
    theirs = Control(house.stack.control.url, other.key).get("/v1/audit")["audit"]
    mine = Control(house.stack.control.url, tenant.key).get("/v1/audit")["audit"]
    assert (theirs, [row["tenant"] for row in mine]) == ([], [tenant.id])
