"""The places in which a sentence can stand inside a longer text: comments, quotes, tables, data.

Attacks and harmless sentences use the same places, so that a model learns the words and not the place.
"""

import json
from collections.abc import Callable, Sequence
from random import Random

Place = Callable[[str], str]

PLACES: Sequence[Place] = (
    lambda text: text,
    lambda text: text,
    lambda text: text,
    lambda text: f"\n\n{text}\n\n",
    lambda text: f"<!-- {text} -->",
    lambda text: f'<span style="display:none">{text}</span>',
    lambda text: f'<p style="color:#fff;font-size:1px">{text}</p>',
    lambda text: f'<div hidden aria-hidden="true">{text}</div>',
    lambda text: f"<p>{text}</p>",
    lambda text: f'<img src="a.png" alt="{text}">',
    lambda text: f"\n> {text}\n",
    lambda text: f"\n## {text}\n",
    lambda text: f"\n- {text}\n",
    lambda text: f"**{text}**",
    lambda text: f"[//]: # ({text})",
    lambda text: f"| note | {text} |",
    lambda text: f"({text})",
    lambda text: f'"{text}"',
    lambda text: f"\n--\n{text}",
    lambda text: f"\nPS: {text}",
    lambda text: f"\n# {text}\n",
    lambda text: f"// {text}\n",
    lambda text: f"/* {text} */",
    lambda text: f'"""{text}"""',
    lambda text: f"\n```\n{text}\n```\n",
    lambda text: json.dumps({"id": 7, "comment": text}, ensure_ascii=False),
    lambda text: json.dumps(
        {"title": "x", "description": text, "stars": 4}, ensure_ascii=False
    ),
    lambda text: json.dumps([{"type": "text", "text": text}], ensure_ascii=False),
    lambda text: f"note: {text}\nversion: 2\n",
    lambda text: f"<item><description>{text}</description></item>",
    lambda text: f"2026-03-01 12:00:01 INFO {text}",
    lambda text: f"review by user 41, 5 stars: {text}",
    lambda text: f"Subject: {text}",
    lambda text: f"--- {text} ---",
    lambda text: f"*** {text} ***",
    lambda text: f"user: {text}\nassistant:",
)


def hidden(rng: Random, text: str) -> str:
    """The text in some place."""
    return rng.choice(PLACES)(text)


def worn(rng: Random, text: str) -> str:
    """The text as people type it: at times all small or all capitals, or without its full stops."""
    way = rng.random()
    if way < 0.12:
        return text.lower()
    if way < 0.16:
        return text.upper()
    if way < 0.24:
        return text.replace(". ", " ").rstrip(".!")
    if way < 0.30:
        return text.replace(". ", "\n")
    return text


def between(rng: Random, text: str, carrier: Sequence[str], most: int) -> str:
    """The text with up to `most` words of a harmless text before or after it, or around it."""
    if not carrier:
        return text
    size = rng.randrange(most + 1)
    start = rng.randrange(max(1, len(carrier) - size))
    words = carrier[start : start + size]
    cut = rng.choice((0, len(words), rng.randrange(len(words) + 1)))
    return " ".join((*words[:cut], text, *words[cut:]))
