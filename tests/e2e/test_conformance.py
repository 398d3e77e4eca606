"""The conformance table: every format, whole and streamed, allowed, redacted and blocked, over both versions of HTTP, however encoded."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.conformance import CASES, ENCODINGS, HOW, KEY, VERSIONS, Cell, call_of, cells, given, table, url_of
from tests.support.house import House, Tenant
from tests.support.streams import SHAPES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "providers.md"


@pytest.fixture(scope="module")
def caller(house: House) -> Iterator[Tenant]:
    before = house.providers.answer
    yield house.tenant()
    house.providers.answer = before


def run(house: House, caller: Tenant, cell: Cell) -> str:
    """What went wrong in a cell, or nothing."""
    prepared = given(cell)
    house.providers.answer = lambda *_: prepared
    body = caller.house.folder / "cell"
    body.write_bytes(call_of(cell))
    version = "--http2" if cell.version == "h2" else "--http1.1"
    answer = caller.house.folder / "answer"
    words = ("-N", version, "--compressed", "-o", str(answer), "-w", "%{http_code} %{http_version}", "-H", "content-type: application/json")
    done = caller.curl(*words, "--data-binary", f"@{body}", url_of(cell))
    status, spoken = done.stdout.split()
    said = answer.read_bytes().decode("utf-8", "replace")
    if cell.how == "streamed" and cell.case != "block":
        said += "".join(SHAPES[cell.shape].heard(answer.read_bytes()))
    if done.returncode or spoken != ("2" if cell.version == "h2" else "1.1"):
        return f"curl ended with {done.returncode}, HTTP {spoken}: {done.stderr}"
    if cell.case == "block":
        expected = "200" if cell.how == "streamed" else "400"
        fine = status == expected and "Blocked by Earthflow policy tools.root-wipe" in said and "rm -rf" not in said
    elif cell.case == "redact":
        fine = status == "200" and KEY not in said and "[REDACTED:credentials_aws_access_key_" in said
    else:
        fine = status == "200" and "Blocked" not in said and "REDACTED" not in said and "there" in said
    return "" if fine else f"{status}: {said[-300:]!r}"


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_cell_of_the_table_holds(house: House, caller: Tenant, shape: str, how: str) -> None:
    faults = {cell: fault for cell in cells(shape, how) if (fault := run(house, caller, cell))}
    assert not faults


def test_the_table_in_the_documents_is_this_one() -> None:
    every = len(CASES) * len(VERSIONS) * len(ENCODINGS)
    written = DOCUMENT.read_text().split("<!-- conformance -->\n")[1].split("\n<!-- end conformance -->")[0]
    assert written == table({(shape, how): every for shape in SHAPES for how in HOW})
