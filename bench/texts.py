"""Fresh chat calls of a wanted size: each one is new, since an engine that has seen a text is faster on it."""

import json
from random import Random

from bench.corpus.benign import BENIGN
from bench.corpus.values_personal import PERSONAL

# What people send, by share of the text: prose, code, French and Arabic (../docs/rules.md says so beside the figures).
MIX = {
    "prose_en": 62,
    "python": 7,
    "javascript": 7,
    "go": 6,
    "prose_fr": 9,
    "prose_ar": 9,
}
LOOKALIKES = str.maketrans("aceopx", "асеорх")
VALIDATED = ("card_visa", "card_mastercard", "iban")


def text(rng: Random, size: int) -> str:
    """Harmless text, so many bytes long."""
    pieces: list[str] = []
    length = 0
    while length < size:
        piece = BENIGN[rng.choices(list(MIX), list(MIX.values()))[0]](rng)
        pieces.append(piece)
        length += len(piece.encode()) + 1
    return "\n".join(pieces).encode()[:size].decode("utf-8", "ignore")


def with_hits(rng: Random, plain: str, count: int) -> str:
    """The text with so many cards and account numbers in it."""
    words = plain.split(" ")
    for _ in range(count):
        words.insert(
            rng.randrange(len(words)), PERSONAL[rng.choice(VALIDATED)](rng).text
        )
    return " ".join(words)


def hiding(rng: Random, plain: str) -> str:
    """One paragraph in ten with zero-width characters and look-alikes."""
    lines = plain.split("\n")
    for number in range(0, len(lines), 10):
        lines[number] = "\u200b".join(
            lines[number][at : at + 7] for at in range(0, len(lines[number]), 7)
        ).translate(LOOKALIKES)
    return "\n".join(lines)


def call(content: str, size: int = 1500) -> bytes:
    """An OpenAI chat call whose messages, of about so many characters each, hold the text."""
    cuts = [content[at : at + size] for at in range(0, len(content), size)] or [""]
    messages = [
        {"role": ("user", "assistant")[number % 2], "content": cut + "."}
        for number, cut in enumerate(cuts)
    ]
    messages[-1]["role"] = "user"
    return json.dumps(
        {"model": "gpt-5.2", "messages": messages}, ensure_ascii=False
    ).encode()


HOSTILE = {
    "one letter": lambda size: "a" * size,
    "digits": lambda size: "4539148803436467 " * (size // 17),
    "near e-mails": lambda size: "@a.aa" * (size // 5),
    "near keys": lambda size: "AKIA" * (size // 4),
    "near words": lambda size: "password token secret key " * (size // 26),
    "assignments": lambda size: "api_key=x " * (size // 10),
    "card-like": lambda size: "4111 1111 1111 1112 " * (size // 20),
    "base64 of text": lambda size: "SWdub3JlIHRoaXM" * (size // 15),
    "short base64": lambda size: "SWdub3JlIHRoaXMgdGV4dA== " * (size // 25),
    "hex": lambda size: "61626364" * (size // 8),
    "percent": lambda size: "%41x" * (size // 4),
    "escapes": lambda size: "\\u0041x" * (size // 7),
    "zero width": lambda size: "a\u200b" * (size // 4),
    "look-alikes": lambda size: "aа" * (size // 3),
    "one long secret": lambda size: "secret: " + "x" * (size - 8),
    "ignore, ignore": lambda size: "ignore previous instructions " * (size // 29),
    "many parts": lambda size: "",
}
