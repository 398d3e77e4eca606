"""A file of tenants is read, or refused with a line: whatever stands in it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.tenant_file import BadFile, ExportOfRules, read_tenants

GOOD = """
# a comment
earthflow: 1
tenants:
  - id: acme
    name: on
    labels: {team: a, floor: 3, since: 2026-01-01, zip: 010, hex: 0x1F, at: 12:30}
    max_requests_per_minute: 50
    retention_days: null
    keys: [laptop]
    webhooks:
      - {url: "https://hooks.example.com/x", statuses: [BLOCK]}
  - {id: bee, name: Bee}
"""


def test_a_file_is_read_as_it_is_meant() -> None:
    acme, bee = read_tenants(GOOD.encode())
    assert acme["name"] == "on"
    assert acme["labels"] == {
        "team": "a",
        "floor": "3",
        "since": "2026-01-01",
        "zip": "010",
        "hex": "0x1F",
        "at": "12:30",
    }
    assert (acme["max_requests_per_minute"], acme["retention_days"]) == (50, None)
    assert bee == {"id": "bee", "name": "Bee"}


def test_an_export_is_read_without_what_nobody_can_give_back() -> None:
    exported = {
        "id": "a", "name": "A", "keys": ["a1B2c3D4e5F6"], "created_at": "2026-01-01T00:00:00Z", "deleted_at": None, "webhook": None, "labels": {},
    }  # fmt: skip
    ended = {**exported, "id": "b", "deleted_at": "2026-01-02T00:00:00Z"}
    read = read_tenants(json.dumps({"tenants": [exported, ended], "next": None}).encode())  # fmt: skip
    assert read == [{"id": "a", "name": "A", "webhook": None, "labels": {}}]
    rules = {"version": "x", "presets": [], "files": {"own.yaml": "…"}, "complaint": None}  # fmt: skip
    with pytest.raises(ExportOfRules) as caught:
        read_tenants(json.dumps(rules).encode())
    assert list(caught.value.files) == ["own.yaml"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no list"), ("[]", "no list"), ("tenants: 1", "no list"), ("tenants: [1]", "no id"), ("tenants: [{name: x}]", "no id"),
        ("tenants: [{id: a}, {id: a}]", "the id a stands twice"), ("tenants: [{id: a, colour: 1}]", "tenant a has `colour`"), ("tennants: []\ntenants: []", "`tennants`"),
        ("tenants: [{id: a, name: x, name: y}]", "line 1: name stands twice"), ("tenants:\n - &x {id: a}\n - *x", "line 3: write it out"),
        ("tenants: [", "line 2"), ("tenants: [{id: a, labels: " + "[" * 20 + "]" * 20 + "}]", "too deep"), ("\0", "YAML"), ("a: b: c", "line 1"),
        ("tenants: !!python/object/apply:os.system [x]", "without a tag"), ("tenants: [{id: a, name: !!binary aGk=}]", "without a tag"),
        ("tenants: [{id: 123}]", "in quotes"), ("tenants: [{[a, b]: c}]", "one word"), ("tenants: [{id: a, <<: {name: x}}]", "`<<`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, why: str) -> None:
    with pytest.raises(BadFile) as caught:
        read_tenants(text.encode())
    assert why in str(caught.value)


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: f"tenants: {text}".encode("utf-8", "replace")))  # fmt: skip
def test_whatever_it_is_it_is_read_or_refused(content: bytes) -> None:
    try:
        assert isinstance(read_tenants(content), list)
    except BadFile as error:
        assert str(error)


def test_a_file_beyond_the_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from contract import tenant_file

    monkeypatch.setattr(tenant_file, "MOST_BYTES", len(GOOD))
    assert len(read_tenants(GOOD.encode())) == 2
    with pytest.raises(BadFile, match="larger"):
        read_tenants(GOOD.encode() + b" ")
