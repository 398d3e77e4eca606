"""A proxy and a control of neighbouring minor versions understand each other: what each says is held to what the other reads."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.versions import FOLDER, SAMPLES, SPOKEN, document, is_released, minor

FILES = sorted(FOLDER.glob("*.json"))
KINDS = sorted(SPOKEN)


def read(path: Path, kind: str) -> tuple[dict[str, Any], list[Any]]:
    spoken = json.loads(path.read_text())[kind]
    return spoken["schema"], spoken["samples"]


def understood(said: Any, schema: dict[str, Any]) -> bool:
    validator = jsonschema.Draft202012Validator(schema)
    return validator.is_valid(json.loads(msgspec.json.encode(said)))


def test_what_this_version_says_is_written_down() -> None:
    written = json.loads((FOLDER / f"{minor()}.json").read_text())
    assert written == document() or is_released(), "run: python -m tests.support.versions"  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_earlier_version_said_is_read_whole(path: Path, kind: str) -> None:
    _, samples = read(path, kind)
    assert samples
    for sample in samples:
        decoded = msgspec.convert(sample, SPOKEN[kind])
        again = json.loads(msgspec.json.encode(decoded))
        assert {name: again[name] for name in sample} == sample


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_we_say_is_what_an_earlier_version_reads(
    data: st.DataObject, path: Path, kind: str
) -> None:
    schema, _ = read(path, kind)
    said = data.draw(st.from_type(SPOKEN[kind]))
    assume(
        b":null" not in msgspec.json.encode(getattr(said, "rate", None))
    )  # no infinity
    assert understood(said, schema)


def test_a_new_value_or_a_field_that_is_missing_is_noticed() -> None:
    schema, _ = read(FILES[-1], "record")
    decision = SAMPLES["record"][0]
    assert understood(decision, schema)
    older = copy.deepcopy(schema)
    older["$defs"]["Decision"]["properties"]["action"] = {"enum": ["ALLOW", "BLOCK"]}
    assert not understood(decision, older)
    older = copy.deepcopy(schema)
    older["$defs"]["Decision"]["required"].append("site")
    assert not understood(decision, older)
