"""What a version of Earthflow says between proxy and control, kept so that the next version is held to it.

Written at each minor release: python -m tests.support.versions
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from contract.decision import Completion, Decision, Fired, Found, Place, Record, encode
from contract.snapshot import KeyEnd, KeyEntry, KnownKeys, Rate, Snapshot, TenantEntry
from contract.version import VERSION

FOLDER = Path(__file__).parents[1] / "contract" / "versions"
SPOKEN: Mapping[str, Any] = {"record": Record, "snapshot": Snapshot, "keys": KnownKeys}
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ID, PLACE = "019ad000-0000-7000-8000-000000000000", Place("w", "b", 7, 1)
# One of each, every field with a value of its own.
SAMPLES: Mapping[str, list[Any]] = {
    "record": [
        Decision(
            schema=2, id=ID, time=NOW, place=PLACE, tenant="t", key="k", action="REDACT", would="BLOCK", would_strict="FLAG",
            reason="policy", coverage="partial", unreadable=("image",), rulebook="r", provider="openai", host="api.openai.com",
            method="POST", path="/v1/chat/completions", model="gpt-5.2", stream=True, size=9, prompt_hash="hmac-sha256:0",
            prompt="sealed", client="10.0.0.1",
            rules=(Fired("a.b", "REDACT", "high", 2, True, (Found(1, "user", "text", 3, 4, "bash", "[p]", "monitor"),)),),
        ),
        Completion(
            schema=2, id=ID, time=NOW, place=PLACE, tenant="t", outcome="ok", status=200, error="e", input_tokens=1, output_tokens=2,
            bytes_up=3, bytes_down=4, first_byte_ms=5, duration_ms=6, added_ms=0.5, action="BLOCK", would="FLAG", would_strict="REDACT",
            coverage="full", unreadable=("audio",), rules=(Fired("c.d", "BLOCK", "low", 1),), restored=1,
        ),
    ],
    "snapshot": [
        Snapshot(
            version=3, made=NOW, pepper="p", tenants=(TenantEntry("t", "default", "k", "deny", 5, 6),),
            keys=(KeyEntry("id", "t", "d", NOW),), rules={"a": "b"}, rate=Rate(7, 2.0, 30), data_key="d", keep_prompts=True,
            others=(KeyEnd("o", NOW),), mark="m",
        )
    ],
    "keys": [KnownKeys(3, NOW, (KeyEnd("id", NOW),), (KeyEnd("o"),), "m")],
}  # fmt: skip


def minor(version: str = VERSION) -> str:
    """`2.0` of `2.0.3`."""
    return ".".join(version.split(".")[:2])


def _bare(schema: Any) -> Any:
    """A schema without what people read, and in an order that does not depend on the process."""
    if isinstance(schema, dict):
        return {
            name: _bare(schema[name])
            for name in sorted(schema.keys() - {"title", "description"})
        }
    if isinstance(schema, list | tuple):
        return sorted((_bare(one) for one in schema), key=json.dumps)
    return schema


def document() -> dict[str, Any]:
    """What this version says: a JSON schema and samples of each kind."""
    return {
        kind: {
            "schema": _bare(msgspec.json.schema(spoken)),
            "samples": [
                json.loads(
                    encode(one) if kind == "record" else msgspec.json.encode(one)
                )
                for one in SAMPLES[kind]
            ],
        }
        for kind, spoken in SPOKEN.items()
    }


def is_released() -> bool:
    """Whether the changes of this minor version have a date."""
    changes = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    return f"## {minor()}.0 (unreleased)" not in changes


if __name__ == "__main__":
    if is_released():
        raise SystemExit(f"{minor()} is released; what it says stays as it is.")
    (FOLDER / f"{minor()}.json").write_text(json.dumps(document(), indent=1) + "\n")
