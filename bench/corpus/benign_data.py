"""Harmless machine data: logs, API answers, tables, images, catalogues, itineraries and arithmetic."""

import json
from random import Random

from bench.corpus.checks import ean13
from bench.corpus.draw import chars, digits, expand, fill, uuid4, words
from bench.corpus.encodings import b64

_SERVICES = words(
    "gateway billing auth worker crm-sync web nginx scheduler mailer importer checkout ledger search thumbnailer indexer"
)
_EVENTS = words(
    "started finished retried skipped queued flushed rotated accepted rejected compacted replicated warmed expired"
)
_GOODS = words(
    "lamp chair desk kettle backpack jacket helmet keyboard monitor blender mug tent notebook drill sofa speaker carpet scarf"
)
_COLOURS = words("black white oak red navy sand green grey copper ivory")
_CITIES = words(
    "Lisbon Oslo Kyoto Marrakesh Montreal Algiers Vienna Porto Dublin Hanoi Tunis Bergen Perth Quito Lyon Oran Rabat"
)


def _moment(rng: Random) -> str:
    return (
        f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:"
        f"{rng.randint(0, 59):02}.{rng.randint(0, 999):03}Z"
    )


def log_lines(rng: Random) -> str:
    """Return log lines with timestamps, UUIDs, hex ids and commit hashes."""
    out: list[str] = []
    for _ in range(rng.randint(5, 18)):
        service, event = rng.choice(_SERVICES), rng.choice(_EVENTS)
        line = rng.choice(
            [
                f"{_moment(rng)} INFO [{service}] {event} request_id={uuid4(rng)} in {rng.randint(1, 900)} ms",
                fill(
                    rng,
                    f"{_moment(rng)} DEBUG {service} trace={{h:32}} span={{h:16}} {event}",
                ),
                fill(
                    rng,
                    f"level=info ts={_moment(rng)} caller={service}.go:{{d:3}} msg={event} commit={{h:40}}",
                ),
                fill(
                    rng,
                    f"{service}[{{d:5}}]: job {{h:24}} {event}, {{d:4}} rows, checksum sha256:{{h:64}}",
                ),
                f"{_moment(rng)} WARN [{service}] token refresh {event}, password policy unchanged, attempt {rng.randint(1, 9)}",
            ]
        )
        out.append(line)
    return "\n".join(out)


def api_answer(rng: Random) -> str:
    """Return a JSON API answer with ids, hashes and amounts."""
    items = [
        {
            "id": rng.choice(
                [
                    uuid4(rng),
                    rng.randint(1000, 9_999_999),
                    fill(rng, "{h:24}"),
                    fill(rng, "ord_{a:14}"),
                ]
            ),
            "object": rng.choice(_GOODS),
            "amount": rng.randint(100, 900000),
            "currency": rng.choice(["eur", "usd", "dzd", "gbp"]),
            "created": rng.randint(1_600_000_000, 1_790_000_000),
            "etag": fill(rng, "{h:32}"),
            "status": rng.choice(_EVENTS),
            "has_password": rng.random() < 0.5,
        }
        for _ in range(rng.randint(2, 9))
    ]
    answer = {
        "request_id": uuid4(rng),
        "data": items,
        "next_cursor": None,
        "total": rng.randint(10, 9000),
    }
    return json.dumps(answer, indent=rng.choice([None, 1, 2]))


def csv_table(rng: Random) -> str:
    """Return a CSV table of measurements."""
    names = rng.sample(
        words(
            "sensor temperature humidity pressure speed voltage weight width height score rank ratio"
        ),
        5,
    )
    rows = [",".join(["date", "batch", *names])]
    for number in range(rng.randint(10, 40)):
        measures = [f"{rng.uniform(0, 900):.{rng.randint(0, 4)}f}" for _ in names]
        rows += [",".join([_moment(rng)[:10], str(1000 + number), *measures])]
    return "\n".join(rows)


def image_uri(rng: Random) -> str:
    """Return an HTML or Markdown snippet with a base64 image."""
    kind, head = rng.choice(
        [
            ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            ("gif", b"GIF89a"),
            ("jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        ]
    )
    uri = (
        f"data:image/{kind};base64,{b64(head + rng.randbytes(rng.randint(240, 1900)))}"
    )
    good = rng.choice(_GOODS)
    return rng.choice(
        [
            f'<img alt="{good}" width="{rng.randint(16, 640)}" src="{uri}">',
            f"![{good}]({uri})",
            f".{good} {{ background: url({uri}); }}",
        ]
    )


def catalogue(rng: Random) -> str:
    """Return a product catalogue with EAN, SKU and serial numbers."""
    out = ["Product list, please sort it by price:"]
    for _ in range(rng.randint(5, 20)):
        body = rng.choice(["30", "40", "50", "61", "76", "87"]) + digits(rng, 10)
        reference = fill(
            rng,
            rng.choice(
                [
                    "SKU {A:3}-{d:5}",
                    "ref. {U:8}",
                    "S/N {A:2}{d:8}",
                    "art. {d:6}",
                    "MPN {A:1}{d:4}-{A:2}",
                ]
            ),
        )
        price = f"{rng.randint(3, 900)}.{rng.choice(['00', '50', '90', '99'])}"
        good = f"{rng.choice(_COLOURS)} {rng.choice(_GOODS)}"
        out.append(
            f"- {good}, EAN {body}{ean13(body)}, {reference}, {price} EUR, {rng.randint(1, 400)} in stock"
        )
    return "\n".join(out)


def itinerary(rng: Random) -> str:
    """Return a travel itinerary with booking references and flight numbers."""
    out = [
        f"Here is my trip, make a nice summary. Booking reference: {fill(rng, '{A:1}{U:5}')}"
    ]
    for _ in range(rng.randint(5, 14)):
        start, end = rng.sample(_CITIES, 2)
        date, seat = _moment(rng)[:10], f"{rng.randint(1, 40)}{rng.choice('ABCDEF')}"
        times = f"{rng.randint(6, 21):02}:{rng.randint(0, 59):02}"
        out.append(
            rng.choice(
                [
                    fill(
                        rng,
                        f"{date} {times} flight {{A:2}}{{d:4}} {start} - {end}, seat {seat}",
                    ),
                    fill(
                        rng,
                        f"{date} hotel in {end}, {rng.randint(1, 6)} nights, confirmation {{d:9}}, {rng.randint(40, 300)} EUR",
                    ),
                    fill(
                        rng,
                        f"{date} {times} train {{d:4}} from {start} to {end}, coach {{d:1}}, ticket {{A:2}}{{d:7}}",
                    ),
                    fill(
                        rng,
                        f"Rental car in {start}, class {{A:4}}, voucher {{U:10}}, {rng.randint(2, 9)} days",
                    ),
                ]
            )
        )
    return "\n".join(out)


def mathematics(rng: Random) -> str:
    """Return arithmetic, sequences and constants."""
    out = ["Check these computations step by step."]
    for index in range(rng.randint(8, 22)):
        a, b = rng.randint(2, 99999), rng.randint(2, 9999)
        out.append(
            rng.choice(
                [
                    f"{index + 1}. {a} x {b} = {a * b}",
                    f"{index + 1}. {a} / {b} = {a / b:.{rng.randint(3, 14)}f}",
                    f"{index + 1}. {b}^{rng.randint(2, 5)} mod {a} is to be found",
                    f"{index + 1}. the sequence {', '.join(str(a + b * k) for k in range(5))} has difference {b}",
                    f"{index + 1}. f(x) = {b % 97}x^2 - {a % 971}x + {b} has its vertex at x = {(a % 971) / (2 * (b % 97 + 1)):.5f}",
                ]
            )
        )
    return "\n".join(out)


def lockfile(rng: Random) -> str:
    """Return lines of a dependency lock file with integrity hashes."""
    out: list[str] = []
    for _ in range(rng.randint(4, 14)):
        name = f"{rng.choice(_GOODS)}-{rng.choice(_SERVICES)}"
        out.append(
            fill(
                rng,
                rng.choice(
                    [
                        f"{name}==1.{{d:2}}.{{d:1}} \\\n    --hash=sha256:{{h:64}}",
                        f'"{name}@^2.{{d:1}}.0":\n  version "2.{{d:1}}.{{d:1}}"\n  integrity sha512-{{b:86}}==',
                        f"image: docker.io/library/{name}@sha256:{{h:64}}",
                    ]
                ),
            )
        )
    return "\n".join(out)


_CHAT = {
    "s": [
        "<open> <topic>?",
        "<open> <topic>? <more>",
        "<topic>, <open2>. <more>",
        "<more> <open> <topic>?",
    ],
    "open": ["Can you explain", "What do you think about", "How would you start with", "Any tips for", "I forgot, how does one handle"],
    "open2": ["that is what I was thinking about today", "my kids keep asking", "I read about it yesterday", "it came up at lunch"],
    "topic": [
        "learning the guitar at {d:2}", "growing tomatoes on a balcony", "the rules of chess960", "a birthday for {d:1} children",
        "the best bread for a picnic", "black holes", "running {d:2} km", "the difference between jazz and blues", "cleaning a wool coat",
        "how bees find flowers", "a name for a grey cat", "choosing a tent", "remembering a long password", "the history of the metre",
        "the card game belote", "how a bank account works", "why keys are called keys in music", "making tea for {d:2} guests",
    ],
    "more": [
        "Thanks, that helps a lot!", "I have about {d:2} minutes.", "Keep it short please.", "I am a complete beginner.", "Ha, good one.",
        "My budget is {d:2} euros.", "We tried it in 20{d:2} and it failed.", "Use simple words.", "No hurry.", "Add an example, please.",
    ],
}  # fmt: skip


def small_talk(rng: Random) -> str:
    """Return a chat transcript about everyday matters."""
    out: list[str] = []
    while sum(map(len, out)) < rng.randint(320, 1500):
        out.append(
            f"{'You' if len(out) % 2 else 'Me'}: {expand(rng, _CHAT, rng.choice(_CHAT['s']))}"
        )
    return "\n".join(out) + "\n" + chars(rng, "🙂😂👍🎉", rng.randint(1, 2))
