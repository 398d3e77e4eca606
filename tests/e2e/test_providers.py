"""Every family of providers through the real proxy: what arrives, and how a refusal is worded. The real SDKs: `make clients`."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from tests.support.house import AWS_KEY, RESTRICTED, House, Tenant

KEY_FILE = RESTRICTED
CALLS = {
    "https://api.openai.com/v1/responses": (
        {"model": "m", "input": "TEXT"},
        ["error", "message"],
    ),
    "https://api.openai.com/v1/embeddings": (
        {"model": "m", "input": ["TEXT"]},
        ["error", "message"],
    ),
    "https://acme.openai.azure.com/openai/deployments/gpt-5/chat/completions?api-version=1": (
        {"messages": [{"role": "user", "content": "TEXT"}]},
        ["error", "message"],
    ),
    "https://api.anthropic.com/v1/messages/batches": (
        {
            "requests": [
                {
                    "custom_id": "a",
                    "params": {
                        "model": "m",
                        "messages": [{"role": "user", "content": "TEXT"}],
                    },
                }
            ]
        },
        ["error", "message"],
    ),
    "https://generativelanguage.googleapis.com/v1beta/models/gemini-3:generateContent": (
        {"contents": [{"role": "user", "parts": [{"text": "TEXT"}]}]},
        ["error", "message"],
    ),
    "https://bedrock-runtime.eu-west-3.amazonaws.com/model/anthropic.claude-v5%3A0/converse": (
        {"messages": [{"role": "user", "content": [{"text": "TEXT"}]}]},
        ["message"],
    ),
    "https://api.mistral.ai/v1/chat/completions": (
        {"model": "m", "messages": [{"role": "user", "content": "TEXT"}]},
        ["message"],
    ),
    "https://api.cohere.com/v2/chat": (
        {"model": "m", "messages": [{"role": "user", "content": "TEXT"}]},
        ["message"],
    ),
    "https://api.deepseek.com/anthropic/v1/messages": (
        {"model": "m", "messages": [{"role": "user", "content": "TEXT"}]},
        ["error", "message"],
    ),
    "https://ollama.com/api/chat": (
        {"model": "m", "messages": [{"role": "user", "content": "TEXT"}]},
        ["error"],
    ),
}


def saying(body: Any, text: str) -> bytes:
    return json.dumps(body).replace('"TEXT"', json.dumps(text)).encode()


@pytest.mark.parametrize("url", CALLS)
def test_a_secret_does_not_reach_any_provider(
    house: House, tenant: Tenant, url: str
) -> None:
    status, _ = tenant.post(
        saying(CALLS[url][0], f"my key is {AWS_KEY}, keep it"), url=url
    )
    assert status == 200
    assert AWS_KEY.encode() not in house.providers.heard[-1].body
    assert (
        b"my key is [REDACTED:credentials_aws_access_key_"
        in house.providers.heard[-1].body
    )
    (row,) = tenant.audit(1)
    assert (row["status"], row["coverage"]) == ("REDACT", "full")


@pytest.mark.parametrize("url", CALLS)
def test_every_provider_refuses_in_its_own_words(
    house: House, tenant: Tenant, url: str
) -> None:
    heard = len(house.providers.heard)
    status, said = tenant.post(saying(CALLS[url][0], KEY_FILE), url=url)
    assert status == 400
    for key in CALLS[url][1]:
        said = said[key]
    (row,) = tenant.audit(1)
    assert said.startswith("Blocked by Earthflow policy")
    assert row["id"] in said
    assert len(house.providers.heard) == heard


def test_a_list_of_providers_that_cannot_be_used_keeps_the_proxy_from_starting(
    tmp_path: Path,
) -> None:
    written = tmp_path / "mine.yaml"
    written.write_text(
        "providers: {house: {hosts: [api.groq.com], paths: {/v1: opanai}}}\n"
    )
    house = House({"EARTHFLOW_PROVIDERS": str(written)})
    with pytest.raises(CommandError), house:
        pass
    assert "there is no set `opanai`; there are openai," in house.last_words
