"""Openly licensed texts by other people, for learning: attacks, and harmless texts of the kinds that are mistaken for them.

Each corpus is a folder below one folder of corpora, as a repository or a package has it (lay.sh
lays them). Texts are read only here and are not shipped; what is shipped are weights of word groups.
"""

import ast
import csv
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from random import Random

import yaml

from bench.injection.attacks import AROUND, PHRASES, Text
from bench.injection.disguise import between, hidden, worn
from bench.injection.grammar import Share, load, sentence
from bench.injection.sources import CORPORA, Corpus
from rules.likeness import words

CHECKED = 5  # one file or text in so many is kept for checking
SHINGLE = 8
SHARED = (
    0.6  # of a text's runs of eight words found in judged texts: then it is one of them
)
PIECE = 48  # words of an attack that are compared with judged texts at a time
SKIPPED = re.compile(
    r"(?i)llm|inject|jailbreak|red.?team|adversarial|prompt.?leak|node_modules|lock\.json"
)
_HOLE = re.compile(
    r"\{\{.*?\}\}|\[INSERT[^\]]*\]|<INSTRUCTION>|\{[A-Za-z_ ]{2,30}\}|\[PROMPT\]"
)
Record = dict[str, object]


def texts(
    folder: Path, share: Share, judged: set[int]
) -> Iterator[tuple[Corpus, Text]]:
    """All texts of all corpora, without those that are judged on."""
    rng, grammar = Random(5), load(PHRASES / "en.attack.txt")
    seen: set[str] = set()
    for corpus in CORPORA:
        for name, text in _read(folder, corpus):
            key = " ".join(words(text)[:60])
            kept = share == "all" or (zlib.crc32(name.encode()) % CHECKED == 0) == (
                share == "check"
            )
            if key in seen or not kept or len(key) < 12:
                continue
            seen.add(key)
            if corpus.attack:
                text = _HOLE.sub(lambda _: sentence(grammar, "goal", rng), text)
            if judged and known(text, judged):
                REMOVED[corpus.name] = REMOVED.get(corpus.name, 0) + (share == "all")
                continue
            yield corpus, Text(text, corpus.attack, corpus.kind, corpus.language)


REMOVED: dict[
    str, int
] = {}  # texts left out of the whole, by corpus, because they are judged on


def shingles(found: Sequence[str]) -> set[int]:
    """The runs of eight words of a text; of shorter texts, the whole."""
    last = max(1, len(found) - SHINGLE + 1)
    return {
        zlib.crc32(" ".join(found[at : at + SHINGLE]).encode()) for at in range(last)
    }


def known(text: str, judged: set[int]) -> bool:
    """Whether any stretch of a text is mostly in the judged texts."""
    found = words(text)
    for start in range(0, max(1, len(found)), PIECE):
        piece = shingles(found[start : start + PIECE])
        if len(piece & judged) >= SHARED * len(piece):
            return True
    return False


def judged_shingles(path: Path) -> set[int]:
    """The runs of eight words of all judged texts in a file of JSON lines."""
    found: set[int] = set()
    with path.open(encoding="utf-8") as file:
        for line in file:
            found |= shingles(words(json.loads(line)["text"]))
    return found


def dressed(
    one: Text, rng: Random, carriers: Sequence[Sequence[str]]
) -> Iterator[Text]:
    """An attack as it stands, and hidden in another text."""
    yield one
    text = worn(rng, one.text)
    if rng.random() < 0.3:
        text = hidden(rng, text)
    found = text.split()
    start = rng.randrange(max(1, len(found) - PIECE // 2))
    yield one._replace(text=" ".join(found[start : start + PIECE]))
    if len(found) <= PIECE:
        yield one._replace(text=between(rng, text, rng.choice(carriers), AROUND))


def _read(folder: Path, corpus: Corpus) -> Iterator[tuple[str, str]]:
    """A name and a text, for every text of a corpus."""
    read = READERS[corpus.reader]
    for glob in corpus.globs:
        for path in sorted((folder / corpus.name.replace("/", "+")).glob(glob)):
            inside = str(path.relative_to(folder))
            told = corpus.attack or corpus.kind == "near miss"
            if (
                path.is_symlink()
                or not path.is_file()
                or (not told and SKIPPED.search(inside))
            ):
                continue
            content = path.read_text(encoding="utf-8", errors="replace")
            for number, text in enumerate(read(content, corpus)):
                if text.strip():
                    yield f"{inside} {number // 20}", text.strip()


def _paragraphs(content: str, _: Corpus) -> Iterator[str]:
    """Some paragraphs at a time: one, three and twelve by turns."""
    found = [one for one in re.split(r"\n\s*\n", content) if len(one.split()) > 2]
    start = 0
    for size in cycle((1, 3, 12)):
        if start >= len(found):
            return
        yield "\n\n".join(found[start : start + size])
        start += size


def _lines(content: str, _: Corpus) -> Iterator[str]:
    yield from (line.replace("\\n", "\n") for line in content.splitlines())


def _whole(content: str, _: Corpus) -> Iterator[str]:
    yield content


def _messages(content: str, _: Corpus) -> Iterator[str]:
    """Commit messages that say more than a title."""
    for message in content.split("\0"):
        body = re.sub(
            r"(?m)^(?:Co-authored-by|Signed-off-by|git-svn-id):?.*$", "", message
        )
        if len(body.split()) >= 12:
            yield body


def _literals(content: str, _: Corpus) -> Iterator[str]:
    """Python strings that are sentences, and not comments."""
    tree = ast.parse(content)
    plain = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    inner = {
        id(part)
        for one in ast.walk(tree)
        if isinstance(one, ast.JoinedStr)
        for part in one.values
    }
    for node in ast.walk(tree):
        text = ""
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in plain | inner
        ):
            text = node.value
        elif isinstance(node, ast.JoinedStr):
            text = "".join(
                str(one.value) if isinstance(one, ast.Constant) else "{name}"
                for one in node.values
            )
        if text.count(" ") > 6:
            yield text


def _table(content: str, corpus: Corpus) -> Iterator[str]:
    csv.field_size_limit(sys.maxsize)
    for row in csv.DictReader(content.splitlines(keepends=True)):
        if corpus.wanted(dict(row)):
            yield from (row[key] for key in corpus.keys if row.get(key))


def _json_lines(content: str, corpus: Corpus) -> Iterator[str]:
    for line in content.splitlines():
        if line.strip():
            yield from _leaves(json.loads(line), corpus)


def _json(content: str, corpus: Corpus) -> Iterator[str]:
    yield from _leaves(json.loads(content), corpus)


def _yaml(content: str, corpus: Corpus) -> Iterator[str]:
    try:
        for document in yaml.safe_load_all(content):
            yield from _leaves(document, corpus)
    except yaml.YAMLError:
        return


def _leaves(found: object, corpus: Corpus) -> Iterator[str]:
    """The strings under the corpus's keys, wherever they are; of records that it wants."""
    if isinstance(found, list):
        for one in found:
            if isinstance(one, str) and not corpus.keys:
                yield one
            yield from _leaves(one, corpus)
    elif isinstance(found, dict):
        if not corpus.wanted(found):
            return
        for key, value in found.items():
            if key in corpus.keys and isinstance(value, str):
                yield value
            elif key in corpus.keys and isinstance(value, list):
                yield from (one for one in value if isinstance(one, str))
            if isinstance(value, list | dict):
                yield from _leaves(value, corpus)


READERS: dict[str, Callable[[str, Corpus], Iterator[str]]] = {
    "paragraphs": _paragraphs,
    "lines": _lines,
    "whole": _whole,
    "messages": _messages,
    "literals": _literals,
    "table": _table,
    "json lines": _json_lines,
    "json": _json,
    "yaml": _yaml,
}
