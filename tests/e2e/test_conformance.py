"""The conformance table: every provider and format, whole and streamed, allowed, redacted and blocked, over both versions of HTTP,
however encoded.
"""

import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from addons.providers import FORMATS
from cli.pretend import Heard
from contract.providers import providers
from tests.support.conformance import (
    CASES,
    ELSEWHERE,
    ENCODINGS,
    EVERY,
    HOW,
    KEY,
    NO_TEXT,
    VERSIONS,
    Cell,
    Row,
    call_of,
    given,
    hosts,
    rows,
    shape_of,
    table,
    url_of,
)  # fmt: skip
from tests.support.house import House, Tenant
from tests.support.shared import thorough
from tests.support.streams import TEXTS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "providers.md"
ROWS = list(rows())
Combination = tuple[str, str]  # of a case and an encoding
# of each format, the row in which every encoding is tried
FIRST = {row.label: row for row in reversed(ROWS)}


@pytest.fixture(scope="module")
def caller(house: House) -> Iterator[Tenant]:
    before = house.providers.answer
    yield house.tenant()
    house.providers.answer = before


@pytest.fixture(scope="module")
def strict(house: House, caller: Tenant) -> Tenant:
    return house.tenant("strict")


def combinations(row: Row, version: str) -> list[Combination]:
    """What is tried of a row. Encodings are undone before a format is looked at: but for the first row of a format, each case is
    tried in one of them, another for each row. The profile `long` tries all.
    """
    if thorough() or row == FIRST[row.label]:
        return list(product(CASES, ENCODINGS))
    start = ROWS.index(row) + VERSIONS.index(version)
    return [
        (case, list(ENCODINGS)[(start + number) % len(ENCODINGS)])
        for number, case in enumerate(CASES)
    ]


def run(
    house: House, caller: Tenant, row: Row, how: str, version: str
) -> dict[Combination, str]:
    """What went wrong in each cell of a row, by one curl; nothing where all is as it should be."""
    cells = combinations(row, version)
    heard = house.providers.heard

    def answer(*_: object) -> object:
        case, encoding = cells[int(_cell(heard[-1]))]
        return (
            {"data": []}
            if row.format in NO_TEXT
            else given(Cell(row.shape, how, case, version, encoding))
        )

    house.providers.answer = answer
    before = len(heard)
    folder = caller.house.folder
    transfers = []
    for number, (case, encoding) in enumerate(cells):
        body = call_of(row, how, case)
        encoded = row.format in NO_TEXT and encoding != "identity"
        (folder / f"cell-{number}").write_bytes(
            ENCODINGS[encoding](body) if encoded else body
        )
        transfers.append(
            _transfer(
                caller,
                url_of(row, how),
                version,
                number,
                folder,
                encoding if encoded else "",
            )
        )
    done = subprocess.run(
        ["curl", "-sS", "-K", "-"],
        input="next\n".join(transfers),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = [line.split() for line in done.stdout.splitlines()]
    assert len(said) == len(cells), done.stderr
    faults = {}
    for number, (case, encoding) in enumerate(cells):
        status, spoken = said[number]
        body = (folder / f"answer-{number}").read_bytes()
        arrived = b"".join(
            one.body for one in heard[before:] if _cell(one) == str(number)
        )
        fine = spoken == ("2" if version == "h2" else "1.1") and _fine(
            row, how, case, status, body, arrived
        )
        if not fine:
            faults[case, encoding] = (
                f"{status}, HTTP {spoken}: {body[-300:]!r}, arrived {arrived[:100]!r}"
            )
    return faults


def _cell(heard: Heard) -> str:
    """Which cell a call is of; header names of HTTP/2 are in lower case."""
    return next(
        value for name, value in heard.headers.items() if name.lower() == "x-cell"
    )


def _transfer(
    caller: Tenant, url: str, version: str, number: int, folder: Path, encoding: str
) -> str:
    """One call, in the words of a file for curl."""
    (folder / f"answer-{number}").unlink(missing_ok=True)
    trust = caller.house.bundle
    return "\n".join(
        [
            f'url = "{url}"', f'proxy = "{caller.proxy()}"', f'cacert = "{trust}"', f"http{'2' if version == 'h2' else '1.1'}", "compressed", "no-buffer",
            "max-time = 30", f'output = "{folder}/answer-{number}"', 'write-out = "%{http_code} %{http_version}\\n"', 'header = "content-type: application/json"',
            f'header = "x-cell: {number}"', *([f'header = "content-encoding: {encoding}"'] if encoding else []), f'data-binary = "@{folder}/cell-{number}"', "",
        ]
    )  # fmt: skip


def _fine(
    row: Row, how: str, case: str, status: str, body: bytes, arrived: bytes
) -> bool:
    """Whether what came of a cell is what should."""
    said = body.decode("utf-8", "replace")
    if row.format in NO_TEXT:
        if case == "block":
            return (
                status == "400"
                and "Blocked by Earthflow policy confidential.tlp-red" in said
                and not arrived
            )
        wanted = (
            b"[REDACTED:credentials_aws_access_key_" in arrived
            if case == "redact"
            else b"hello there" in arrived
        )
        return status == "200" and wanted and KEY.encode() not in arrived
    if how == "streamed" and case != "block":
        said += "".join(shape_of(row.shape).heard(body))
    if case == "block":
        image = row.shape in TEXTS and row.format != "mcp"
        rule, hidden = (
            ("answers.image-with-data", "evil.example/p")
            if image
            else ("tools.root-wipe", "rm -rf")
        )
        # a refused tool is a result that says so
        whole = "200" if row.format == "mcp" else "400"
        return (
            status == ("200" if how == "streamed" else whole)
            and f"Blocked by Earthflow policy {rule}" in said
            and hidden not in said
        )
    if case == "redact":
        return (
            status == "200"
            and KEY not in said
            and "[REDACTED:credentials_aws_access_key_" in said
        )
    return (
        status == "200"
        and "Blocked" not in said
        and "REDACTED" not in said
        and "there" in said
    )


def how_of(row: Row) -> tuple[str, ...]:
    return HOW[:1] if row.format in NO_TEXT else HOW


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.provider}-{row.label}")
def test_every_cell_of_the_table_holds(
    house: House, caller: Tenant, strict: Tenant, row: Row, version: str
) -> None:
    who = strict if row.shape in TEXTS and row.shape != "mcp" else caller
    faults = {
        how: found
        for how in how_of(row)
        if (found := run(house, who, row, how, version))
    }
    assert not faults


@pytest.fixture(scope="module")
def http2() -> Iterator[House]:
    with House(http2=True) as house:
        yield house


@pytest.mark.parametrize(
    "row",
    ROWS if thorough() else FIRST.values(),
    ids=lambda row: f"{row.provider}-{row.label}",
)
def test_every_row_holds_of_a_provider_that_speaks_http2(
    http2: House, row: Row
) -> None:
    """With small windows, interim answers, orderly GOAWAYs in the midst of answers, and resets behind them."""
    preset = "strict" if row.shape in TEXTS and row.shape != "mcp" else "default"
    who, front = http2.tenant(preset), http2.front
    assert front is not None
    before = front.calls
    faults = {  # a client of HTTP/1.1 gets a provider's HTTP/1.1
        how: found for how in how_of(row) if (found := run(http2, who, row, how, "h2"))
    }
    assert not faults
    assert front.calls > before


@pytest.mark.parametrize("format", NO_TEXT)
def test_where_there_is_no_stream_one_that_comes_all_the_same_is_judged(
    house: House, caller: Tenant, format: str
) -> None:
    """The reason for every n/a of the table: nothing depends on its being true."""
    row = next(row for row in ROWS if row.format == format)
    house.providers.answer = lambda *_: given(
        Cell("openai-chat", "streamed", "redact", "", "identity")
    )
    done = caller.curl(
        "-N",
        "-H",
        "content-type: application/json",
        "-d",
        call_of(row, "whole", "allow").decode(),
        url_of(row, "whole"),
    )
    assert "[REDACTED:credentials_aws_access_key_" in done.stdout
    assert KEY not in done.stdout


def test_every_combination_is_tried_somewhere() -> None:
    every = {
        (row.label, version, *cell)
        for row in ROWS
        for version in VERSIONS
        for cell in combinations(row, version)
    }
    assert len(every) == len(FIRST) * EVERY
    assert all(
        {case for case, _ in combinations(row, version)} == set(CASES)
        for row in ROWS
        for version in VERSIONS
    )


def test_no_provider_and_no_format_is_left_out() -> None:
    assert {row.provider for row in ROWS} == {
        entry.name for entry in providers() if entry.paths
    }
    assert {row.format for row in ROWS} | ELSEWHERE == set(FORMATS)
    assert len(set(hosts())) == len(hosts())


def test_the_table_in_the_documents_is_this_one() -> None:
    written = (
        DOCUMENT.read_text()
        .split("<!-- conformance -->\n")[1]
        .split("\n<!-- end conformance -->")[0]
    )
    assert written == table({(row, how): EVERY for row in ROWS for how in how_of(row)})
