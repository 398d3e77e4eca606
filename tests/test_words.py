"""Words: the map says what the modules say, the glossary is used, and words that a stranger must guess at are not."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.module_map import PACKAGES, document
from tests.test_tree import ROOT

# Phrases that a reader must guess at. Where one is the plain word for the thing (a host that
# "goes on" a list), write another one: a list with exceptions is a list nobody keeps.
RIDDLES = re.compile(
    r"\b(goes on|go on|went on|what came|comes by|so many|let go|lets go|is told|are told|says the|"
    r"of nobody|as it was|what is left of)\b",
    re.IGNORECASE,
)
# Names that say nothing to somebody who has not read the file, and the glossary's word for the thing.
FORBIDDEN_NAMES = {
    "passage": "call state",
    "ongoing": "open record",
    "asked": "answer policy",
    "saying": "texts",
    "lean": "hook table",
    "trouble": "failure, or error",
    "judges": "rules",
    "utils": "the thing it is for",
    "helpers": "the thing it is for",
    "manager": "the thing it is for",
    "common": "the thing it is for",
}
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
]
MODULES = [
    path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
]


def riddles(text: str) -> list[str]:
    return [found[0] for found in RIDDLES.finditer(text)]


def forbidden(tree: ast.Module) -> list[str]:
    """The names of modules' functions, classes, arguments and attributes that are on the list."""
    named = [
        (
            node.name
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            else node.arg
        )
        for node in ast.walk(tree)
        if isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.arg
        )
    ]
    named += [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    return [name for name in named if name.lower().strip("_") in FORBIDDEN_NAMES]


def test_the_map_says_what_the_modules_say() -> None:
    written = (ROOT / "docs/map.md").read_text()
    assert written == document(), "run: python -m tests.support.module_map"


@pytest.mark.parametrize(
    "path",
    [*MODULES, *(ROOT / name for name in DOCUMENTS)],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_phrase_is_a_riddle(path: Path) -> None:
    assert riddles(path.read_text()) == []


def test_no_name_is_one_that_the_glossary_replaces() -> None:
    wrong = {
        path.relative_to(ROOT).as_posix(): forbidden(ast.parse(path.read_text()))
        for path in MODULES
    }
    wrong |= {
        path.relative_to(ROOT).as_posix(): [path.stem]
        for path in MODULES
        if path.stem in FORBIDDEN_NAMES
    }
    assert {name: found for name, found in wrong.items() if found} == {}


def test_a_riddle_and_a_forbidden_name_are_found() -> None:
    assert riddles("What came goes on, says the doctor.") == [
        "What came",
        "goes on",
        "says the",
    ]
    assert forbidden(ast.parse("def passage(asked):\n    self.trouble = 1")) == [
        "passage",
        "asked",
        "trouble",
    ]


def glossary() -> list[str]:
    text = (ROOT / "docs/architecture.md").read_text()
    rows = (
        text.split("<!-- glossary -->\n")[1]
        .split("\n<!-- end glossary -->")[0]
        .splitlines()[2:]
    )
    return [row.split("|")[1].strip() for row in rows]


def test_the_glossary_is_sorted_and_its_words_are_used() -> None:
    words = glossary()
    assert words == sorted(words, key=str.lower)
    spoken = " ".join(path.read_text() for path in MODULES).lower()
    assert [
        word
        for entry in words
        for word in re.split(", ", entry)
        if word.lower() not in spoken
    ] == []
