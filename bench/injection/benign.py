"""Harmless texts for learning: sentences made from phrases, and the texts of what is installed here.

Installed are Python's own library and the packages of the locked environment: their
descriptions, their code and its comments, and what they say in other languages. Nothing is
fetched. Treebanks (universaldependencies.org) are read where a folder of them is given.
"""

import ast
import gettext
import json
import re
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from email import message_from_string
from importlib.metadata import distributions
from itertools import cycle
from pathlib import Path
from random import Random

from bench.injection.attacks import AROUND, LANGUAGES, PHRASES, Text
from bench.injection.disguise import between, hidden, worn
from bench.injection.grammar import Share, load, sentence

SECTIONS = {
    "question": 3,
    "request": 4,
    "mail": 1,
    "security": 1,
    "tooltext": 2,
    "sentence": 1,
}
# Phrases such as `TODO: …` are what notes and code really say, and no work that was left.
HOSTS = 5  # as many texts without anything hidden, for each of a section
LONGEST_FILE = 400_000
_LOCALE = re.compile("[a-z]{2}(?:_[A-Z]{2})?")
READ = 4  # one module in so many is read
CHECKED = 5  # the texts of one package or module in so many are kept for checking


def made(
    rng: Random,
    language: str,
    share: Share,
    each: int,
    carriers: Sequence[Sequence[str]],
) -> Iterator[Text]:
    """`each` texts for every share of a section, some of them where attacks would be hidden."""
    grammar = load(PHRASES / f"{language}.benign.txt", share)
    for section, times in SECTIONS.items():
        for _ in range(each * times):
            text = worn(rng, sentence(grammar, section, rng))
            if section not in ("question", "mail") and rng.random() < 0.1:
                text = f"{text} {sentence(grammar, section, rng)}"
            if rng.random() < 0.35:
                text = hidden(rng, text)
            if rng.random() < 0.25:
                text = between(rng, text, rng.choice(carriers), AROUND)
            yield Text(text, False, section, language)
    # What attacks are hidden in, without the attack: it must not count as a sign of one.
    for _ in range(each * HOSTS):
        words = [*rng.choice(carriers), *rng.choice(carriers)]
        size = rng.randrange(5, 2 * AROUND)
        start = rng.randrange(max(1, len(words) - size))
        yield Text(" ".join(words[start : start + size]), False, "host", language)


def installed(site: Path, share: Share) -> Iterator[Text]:
    """The texts of Python's library and of the packages in a folder of packages."""
    yield from _descriptions(site, share)
    for root in (Path(sysconfig.get_paths()["stdlib"]), site):
        for path in sorted(root.rglob("*.py")):
            inside = path.relative_to(root)
            if (
                root != site and "site-packages" in inside.parts
            ) or path.stat().st_size > LONGEST_FILE:
                continue
            name = inside.parts[0] if root == site else str(inside)
            if _in(share, name) and zlib.crc32(str(inside).encode()) // 8 % READ == 0:
                yield from _module(path)


def _in(share: Share, name: str) -> bool:
    kept = zlib.crc32(name.encode()) % CHECKED == 0
    return share == "all" or kept == (share == "check")


def translated(site: Path, share: Share) -> Iterator[Text]:
    """What packages say to people in other languages, some messages at a time."""
    for path in sorted(site.rglob("*.mo")):
        language = next((one[:2] for one in path.parts if _LOCALE.fullmatch(one)), "")
        if language not in LANGUAGES:
            continue
        with path.open("rb") as file:
            messages: dict[object, object] = vars(gettext.GNUTranslations(file))[
                "_catalog"
            ]
        texts = sorted(
            {
                text
                for key, text in messages.items()
                if key and isinstance(text, str) and " " in text
            }
        )
        yield from _grouped(texts, "message", language, share)


def treebanks(folder: Path, share: Share) -> Iterator[Text]:
    """The sentences of treebanks, in their order, some at a time."""
    for path in sorted(folder.rglob("*.conllu")):
        lines = path.read_text(encoding="utf-8").splitlines()
        texts = [line[9:] for line in lines if line.startswith("# text = ")]
        yield from _grouped(texts, "prose", path.name[:2], share)


def _grouped(
    texts: Sequence[str], kind: str, language: str, share: Share
) -> Iterator[Text]:
    """Alone, in threes, and in twelves by turns, so that short and long texts are known."""
    start = 0
    for size in cycle((1, 3, 12)):
        if start >= len(texts):
            return
        text = " ".join(texts[start : start + size])
        if _in(share, f"{language} {start // 150}"):
            yield Text(text, False, kind, language)
        start += size


def _descriptions(site: Path, share: Share) -> Iterator[Text]:
    """What packages say about themselves."""
    found = {one.metadata["Name"]: one for one in distributions(path=[str(site)])}
    for name in sorted(found):
        text = message_from_string(
            found[name].read_text("METADATA") or ""
        ).get_payload()
        if (
            _in(share, name.replace("-", "_").lower())
            and isinstance(text, str)
            and text.strip()
        ):
            yield Text(text, False, "documentation", "en")


def _module(path: Path) -> Iterator[Text]:
    """A module's code, and what its comments in triple quotes say."""
    try:
        code = path.read_text(encoding="utf-8")
        tree = ast.parse(code)
    except (UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return
    yield Text(code, False, "code", "en")
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        if text and len(text) > 40:
            yield Text(text, False, "docstring", "en")


def carriers(
    texts: Sequence[Text], rng: Random, many: int
) -> dict[str, list[list[str]]]:
    """Words to hide things in, by language: of documentation in English, and of made-up letters."""
    found: dict[str, list[list[str]]] = {}
    english = [
        one.text.split() for one in texts if one.kind in ("documentation", "docstring")
    ]
    for language in LANGUAGES:
        grammar = load(PHRASES / f"{language}.benign.txt")
        found[language] = [
            " ".join(
                sentence(grammar, section, rng)
                for section in ("mail", "sentence", "sentence")
            ).split()
            for _ in range(many)
        ]
        if english and language == "en":
            found[language] += rng.sample(english, min(many, len(english)))
    return found


def as_json_lines(texts: Sequence[Text]) -> str:
    """For files: one text a line."""
    return "".join(
        json.dumps(one._asdict(), ensure_ascii=False) + "\n" for one in texts
    )
