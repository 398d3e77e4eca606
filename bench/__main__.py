"""`make bench`: what the documents' figures come from. python -m bench [proxy] [engine] [detection] [audit] [dashboard] [flood] [sizing] [--seed N]; all by default."""

import asyncio
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from bench import audit, dashboard, detection, engine, flood, proxy, sizing, streams
from bench.quiet import quiet
from rules.load import Library
from rules.rulebook import Rulebook
from rules.sources import shipped

DOCS = Path(__file__).resolve().parent.parent / "docs"
CHOICES = {"proxy", "engine", "detection", "audit", "dashboard", "flood", "sizing"}
EACH, BENIGN, ATTACKS = 8, 10_000, 300


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; its rows are shown as they come."""
    lines = [
        f"**{title}**",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
    ]
    print(f"\n{title}\n{' | '.join(columns)}", flush=True)
    for row in rows:
        print(" | ".join(row), flush=True)
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines) + "\n"


def engine_tables(book: Rulebook, rng: Random) -> list[str]:
    """The engine's."""
    title = f"Parse, scan and verdict with the preset `default` ({len(book.rules)} rules), CPU ms of one core, median over fresh calls"
    columns = (
        "call",
        "clean, keywords folded",
        "one paragraph in ten hides its words",
        "with hits (1 KB: 4, else 32)",
        "raw hyperscan, same patterns",
        "its MB/s",
        "clean ÷ raw",
    )
    turn = "The next turn of a conversation, 500 characters a turn, judging alone, ms"
    memory = ("tenants", "load, s", "first call of each, ms", "MB more")
    return [
        table(title, columns, engine.by_size(book, rng)),
        table(
            "Scanning alone, ms by number of rules",
            ("set", "1 KB", "16 KB", "256 KB", "16 KB ÷ 300 rules"),
            engine.by_rules(rng),
        ),
        table("Hostile calls of 256 KB, ms", ("body", "ms"), engine.hostile(book)),
        table(turn, ("conversation", "ms"), engine.conversation(book, rng)),
        table(
            "Tenants, half of them with rules of their own", memory, engine.tenants()
        ),
        table(
            "The same texts, CPU ms",
            ("tool", "1 KB", "16 KB", "256 KB"),
            engine.peers(book, rng),
        ),
    ]


def detection_tables(book: Rulebook, rng: Random) -> list[str]:
    """The packs'."""

    def rows(rates: Iterable[detection.Rate]) -> Iterable[Sequence[str]]:
        return (
            (
                rate.name,
                f"{rate.percent:.1f} %",
                f"{rate.hits:,} of {rate.total:,}",
                rate.worst,
            )
            for rate in rates
        )

    found = ("way of travelling", "found", "", "missed most")
    return [
        table("Credentials", found, rows(detection.credentials(book, rng, EACH))),
        table(
            "Assignments of secrets, by way of writing",
            ("ways", "found", "", "missed most"),
            rows(detection.assignments(book, rng, EACH * 4)),
        ),
        table(
            "Secrets in whole files, by kind",
            ("file", "gone", "", ""),
            rows(detection.situations(book, rng, EACH * 4)),
        ),
        table(
            "Personal data by country, in plain sentences",
            ("country", "found", "", "missed most"),
            rows(detection.countries(book, rng, EACH)),
        ),
        table(
            "Personal data with a checksum, in a sentence that says what it is",
            found,
            rows(detection.personal(book, rng, EACH)),
        ),
        table(
            "Prompt injection, by language",
            ("", "reached", "", ""),
            rows(detection.attacks(book, rng, ATTACKS)),
        ),
        table(
            "Harmless texts on which a rule acts",
            ("action", "of all texts", "", "rules"),
            rows(detection.benign(book, rng, BENIGN)),
        ),
        table(
            "All text files of the locked environment and of the clients' npm tree, as results of tools",
            (
                "action",
                "files",
                "of them examples on purpose (python-stdnum, phonenumbers)",
                "of",
                "rules",
            ),
            (
                (
                    one.action,
                    f"{one.files:,}",
                    f"{one.fixtures:,}",
                    f"{one.total:,}",
                    one.rules,
                )
                for one in quiet(book)
            ),
        ),
    ]


def audit_tables(rng: Random) -> list[str]:
    """The audit's."""
    rate, searched, counted, plans = asyncio.run(audit.run(rng))
    title = (
        f"Search over {audit.ROWS:,} exchanges of {audit.DAYS} days, a page of 50, ms"
    )
    # For whoever tunes an index; too much for a document.
    print("\n".join(plans), flush=True)
    return [
        f"Stored from Redis, with all constraints, counts and watermarks: {rate:,.0f} exchanges (two records each) a second.\n",
        table(title, ("exchanges", "median", "p99"), searched),
        table("Counts over the same, ms", ("counts", "median", "worst of 12"), counted),
    ]


def sizing_tables(rng: Random) -> list[str]:
    """Of a whole Earthflow."""
    costs, batches, space = sizing.run(rng)
    idle, *calls = costs
    chunk = calls[-1].less(calls[0], "each chunk of it", streams.LONG)
    many = [f"cores of {name}" for name in sizing.PROCESSES]
    in_batches = ("to be stored, in full batches", "", f"{batches.control:.2f}", f"{batches.postgres:.2f}", "")  # fmt: skip
    bytes_of = (
        ("an exchange in PostgreSQL, with its indexes", f"{space.stored:,.0f}"),
        ("its two records, on the proxy's disk", f"{space.sent:,.0f}"),
        ("the same, in Redis's memory", f"{space.waiting:,.0f}"),
        ("memory of a proxy", f"{space.proxy:,}"),
        ("memory of each connection more", f"{space.connection:,.0f}"),
    )
    return [
        table(
            "What a call takes, CPU ms",
            ("call", *sizing.PROCESSES),
            [*(cost.row for cost in calls), chunk.row, in_batches, idle.row],
        ),
        f"One control stored {batches.rate:,.0f} exchanges a second.\n",
        table("What it takes in bytes", ("of", "bytes"), bytes_of),
        table(
            f"Processors for many calls a second, {sizing.FULL:.0%} full",
            ("calls a second", "each", *many, "GB a day"),
            sizing.needs(calls, batches, space),
        ),
    ]


def dashboard_tables() -> list[str]:
    """The dashboard's."""
    rows, tail = dashboard.run()
    columns = ("page", "CPU ms of control", "the same by API", "rendering", "of PostgreSQL", "the same by API", "wait, ms", "KB")  # fmt: skip
    return [table("Pages over a million exchanges", columns, rows), tail]


def write(document: str, mark: str, head: str, tables: Sequence[str]) -> None:
    """Put the tables between the marks of the document."""
    path = DOCS / document
    text = path.read_text()
    begin, end = f"<!-- bench {mark} -->\n", f"<!-- end {mark} -->"
    assert begin in text and end in text
    body = f"{begin}{head}\n\n" + "\n".join(tables)
    path.write_text(
        re.sub(
            re.escape(begin) + r".*?(?=" + re.escape(end) + ")",
            lambda _: body,
            text,
            flags=re.DOTALL,
        )
    )


def main() -> None:
    """Run what is asked for."""
    words = sys.argv[1:]
    seed = (
        int(words[words.index("--seed") + 1])
        if "--seed" in words
        else int.from_bytes(os.urandom(4))
    )
    chosen = CHOICES & set(words) or CHOICES
    when = f"{datetime.now(UTC):%Y-%m-%d}, seed {seed}, Python {platform.python_version()}, two shared cores"
    if chosen & {"engine", "detection"}:
        book = Library(shipped()).rulebook("default")
        if "engine" in chosen:
            write(
                "rules.md",
                "engine",
                f"Measured {when}.",
                engine_tables(book, Random(seed)),
            )
        if "detection" in chosen:
            write(
                "rules.md",
                "detection",
                f"Measured {when}.",
                detection_tables(book, Random(seed)),
            )
    if "audit" in chosen:
        write("operating.md", "audit", f"Measured {when}.", audit_tables(Random(seed)))
    if "dashboard" in chosen:
        write("operating.md", "dashboard", f"Measured {when}.", dashboard_tables())
    if "sizing" in chosen:
        head = f"Measured {when}."
        write("sizing.md", "sizing", head, sizing_tables(Random(seed)))
    if "flood" in chosen:
        flood.main()
    if "proxy" in chosen:
        before, taken = proxy.run()
        found = proxy.ratios(taken)
        proxy.keep(when, before, found)
        title = f"× bare mitmproxy: minimum / median / maximum of {proxy.ROUNDS} rounds in turns; load {before} before"
        tables = [table(title, *one) for one in proxy.tables(found)]
        write("performance.md", "proxy", f"Measured {when}.", tables)


if __name__ == "__main__":
    main()
