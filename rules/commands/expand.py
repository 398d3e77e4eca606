"""Expansions of a word that need no knowledge of the machine: braces, and escapes in `$'…'`."""

import re

# Marks inside a word that is being read, since quoted signs are no signs.
OPEN, COMMA, CLOSE, SPLIT = "\ue010", "\ue011", "\ue012", "\ue013"
MAX_BRACES = 64  # words that one word with braces becomes
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b"}
ESCAPES |= {"f": "\f", "v": "\v", "\\": "\\", "'": "'", '"': '"', "?": "?"}
ESCAPED = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|([0-7]{1,3})|(.))",
    re.DOTALL,
)


def ansi(text: str, at: int) -> tuple[str, int]:
    """The inside of `$'…'`, and where what follows begins."""
    pieces: list[str] = []
    while at < len(text) and text[at] != "'":
        found = ESCAPED.match(text, at)
        if found is None:
            pieces.append(text[at])
            at += 1
            continue
        at = found.end()
        code = next((g for g in found.groups()[:3] if g), None)
        if code is not None or found[4]:
            number = int(code, 16) if code is not None else int(found[4], 8)
            pieces.append(chr(number) if 0 < number < 0xD800 else "")
        else:
            pieces.append(ESCAPES.get(found[5], found[5]))
    return "".join(pieces), at + 1


def braces(word: str) -> list[str]:
    """`a{b,c}d` as `abd` and `acd`, at most MAX_BRACES. Marks stand for unquoted braces and
    commas.
    """
    done: list[str] = []
    todo = [word]
    while todo and len(done) + len(todo) <= MAX_BRACES:
        one = todo.pop(0)
        close = one.find(CLOSE)
        start = one.rfind(OPEN, 0, close) if close >= 0 else -1
        if start < 0:
            done.append(one)
            continue
        inner = one[start + 1 : close]
        if COMMA not in inner:
            todo.insert(0, f"{one[:start]}{{{inner}}}{one[close + 1 :]}")
            continue
        alternatives = [
            f"{one[:start]}{piece}{one[close + 1 :]}" for piece in inner.split(COMMA)
        ]
        todo[:0] = alternatives
    return [one for one in (*done, *todo)[:MAX_BRACES] if one]
