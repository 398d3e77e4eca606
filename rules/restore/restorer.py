"""Decides where originals return: in one text, or in the arguments of one call of a tool.

    the model's text                     unless a reader would follow it there
    content that a file tool writes      into the file that the value came from
    arguments of other tools             where a rule says `restore: all`; never of a shell

And only where the rules find the value again in what the client will send back, so that it
is redacted in every later turn. Elsewhere the placeholder stays, and is counted.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from rules.commands.lines import ARGUMENTS, TOOLS
from rules.evaluate import evaluate_by
from rules.exchange import Exchange, Kind, Part
from rules.model import Restore
from rules.redact import Edit, escaped
from rules.restore.paths import Arguments, arguments_of, patched, target_of
from rules.restore.places import is_followed, word_around
from rules.restore.tools import PATCHES, WRITERS
from rules.rulebook import RESTORE_ELSEWHERE, Rulebook
from rules.verdict import Fired, Outcome, Verdict

# Rounds in which places drop out whose value the rules do not find again. Each judges the
# text once.
ROUNDS = 3
# Of one answer: places that are looked at, texts that are judged, and their characters; some
# 100 ms in all. Placeholders beyond these stay. A file of secrets has some tens.
MAX_PLACES, MAX_JUDGED, MAX_CHARACTERS = 500, 300, 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Original:
    """What a placeholder replaced in a call, and where it may return.

    `paths` are the files whose content it came from, `contents` those contents; `said` are
    texts of a user with the value.
    """

    placeholder: str
    value: str
    where: Restore
    paths: frozenset[str] = frozenset()
    contents: tuple[str, ...] = ()
    said: tuple[str, ...] = ()

    def belongs_in(self, path: str) -> bool:
        """Whether a file may have the value: it came from there, or a user said so."""
        return bool(path) and (
            path in self.paths or any(_names(text, path) for text in self.said)
        )

    def stood_in(self, word: str) -> bool:
        """Whether the value stood in this word in its file, or a user's text, too."""
        return any(word in text for text in (*self.contents, *self.said))


class Place(NamedTuple):
    """Where a placeholder stands in a text."""

    original: Original
    start: int
    end: int


Allowed = Callable[[Place], bool]


class Restorer:
    """The originals of one call, for its answer.

    `book` are the rules for calls, and `context` is the answer's; `restored` counts what
    was put back, `elsewhere` placeholders that stay where none should be.
    """

    def __init__(
        self,
        originals: Sequence[Original],
        book: Rulebook,
        context: Exchange,
        key: bytes,
    ):
        self.restored = self.elsewhere = 0
        self._originals = {one.placeholder: one for one in originals}
        # The longest first: one placeholder may begin another.
        names = sorted(self._originals, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, names)))
        self.longest = max(map(len, self._originals))
        self.firsts = frozenset(name[0] for name in self._originals)
        self._book, self._key = book, key
        self._places_left, self._judged_left = MAX_PLACES, MAX_JUDGED
        self._characters_left = MAX_CHARACTERS
        self._context = replace(context, direction="request", unreadable=())

    @property
    def counts(self) -> tuple[int, int]:
        """What was put back, and what stays."""
        return self.restored, self.elsewhere

    def begins(self, text: str, first: int) -> int:
        """The earliest position, from `first` on, where an unfinished placeholder may begin;
        the text's length where none may.
        """
        for at in range(max(first, len(text) - self.longest + 1), len(text)):
            if text[at] in self.firsts and any(
                name.startswith(text[at:]) for name in self._originals
            ):
                return at
        return len(text)

    def first(self, text: str, first: int) -> int:
        """The position of the first placeholder from there on; -1 where there is none."""
        found = self._names.search(text, first)
        return found.start() if found is not None else -1

    def text(self, text: str) -> list[Edit]:
        """The edits of a text of the model."""

        def allowed(place: Place) -> bool:
            return place.original.where != "none" and not is_followed(text, place.start)

        return self._edits(text, allowed, "text")

    def arguments(self, tool: str, text: str) -> list[Edit]:
        """The edits of a call's arguments that are one text: JSON, or a patch."""
        arguments = arguments_of(text)
        if isinstance(arguments, str):
            return self.leaf(tool, text, text, "")
        allowed = self._in_json(tool, arguments, text)
        return self._edits(text, allowed, "tool_call", tool, escape=True)

    def leaf(self, tool: str, arguments: Arguments, text: str, name: str) -> list[Edit]:
        """The edits of one text among a call's arguments, under its name."""
        return self._edits(text, self._in_leaf(tool, arguments, text, name), "tool_call", tool, name)  # fmt: skip

    # -- which places -------------------------------------------------------------------

    def _in_leaf(
        self, tool: str, arguments: Arguments, text: str, name: str
    ) -> Allowed:
        """Which places of a text among the arguments may get their originals back."""
        sections = patched(text) if tool in PATCHES else []
        path = target_of(tool, arguments)
        is_content = tool in WRITERS and name in WRITERS[tool].content
        is_shell = tool.lower() in TOOLS or name in ARGUMENTS

        def allowed(place: Place) -> bool:
            original = place.original
            if original.where not in ("files", "all"):
                return False
            file = next(
                (path for start, end, path in sections if start <= place.start < end),
                path if is_content else "",
            )
            if original.belongs_in(file):
                word = _word(text, place)
                # A line of a patch begins with its sign.
                return not is_followed(text, place.start, narrow=True) or (
                    original.stood_in(
                        word[1:] if sections and word[:1] in "+-" else word
                    )
                )
            known = tool in WRITERS or tool in PATCHES or is_shell
            return (
                original.where == "all"
                and not known
                and not is_followed(text, place.start)
            )

        return allowed

    def _in_json(self, tool: str, arguments: Arguments, text: str) -> Allowed:
        """The same for arguments that are JSON: where each text of theirs allows it."""
        verdicts: dict[str, list[bool]] = {}
        for name, leaf in _leaves(arguments):
            allowed = self._in_leaf(tool, arguments, leaf, name)
            kept = self._keeps(leaf, allowed, tool, name)
            for place in self._places(leaf):
                verdicts.setdefault(place.original.placeholder, []).append(
                    place in kept
                )

        def all_allowed(place: Place) -> bool:
            found = verdicts.get(place.original.placeholder, ())
            return bool(found) and all(found)

        return all_allowed

    def _keeps(self, leaf: str, allowed: Allowed, tool: str, name: str) -> set[Place]:
        places = self._wanted(self._places(leaf), allowed)
        part = Part("", "assistant", "tool_call", 0, tool, name)
        return set(self._found_again(leaf, places, part, escape=False))

    # -- putting back -------------------------------------------------------------------

    def _edits(
        self,
        text: str,
        allowed: Allowed,
        kind: Kind,
        tool: str = "",
        name: str = "",
        *,
        escape: bool = False,
    ) -> list[Edit]:
        places = self._places(text)
        part = Part("", "assistant", kind, 0, tool, name)
        wanted = self._wanted(places, allowed)
        kept = self._found_again(text, wanted, part, escape=escape)
        self.restored += len(kept)
        self.elsewhere += sum(
            one.original.where == "all"
            or (
                (one.original.where == "files" or kind == "text")
                and one.original.where != "none"
            )
            for one in set(places) - set(kept)
        )
        return [
            Edit(0, place.start, place.end, _written(place, escape=escape))
            for place in kept
        ]

    def _wanted(self, places: Sequence[Place], allowed: Allowed) -> list[Place]:
        """Those that are allowed, as long as any may be looked at."""
        looked_at = places[: self._places_left]
        self._places_left -= len(looked_at)
        return [place for place in looked_at if allowed(place)]

    def _places(self, text: str) -> list[Place]:
        """All placeholders in a text, in their order."""
        return [
            Place(self._originals[found[0]], found.start(), found.end())
            for found in self._names.finditer(text)
        ]

    def _found_again(
        self, text: str, places: Sequence[Place], part: Part, *, escape: bool
    ) -> list[Place]:
        """Those whose values the rules find in the text as it will be sent back."""
        if self._book.history == "ignore":
            return []
        for _ in range(ROUNDS):
            if not places:
                break
            whole, spans = _put_back(text, places, escape=escape)
            self._judged_left -= 1
            self._characters_left -= len(whole)
            if self._judged_left < 0 or self._characters_left < 0:
                break
            exchange = replace(self._context, parts=(part._replace(text=whole),))
            verdict = evaluate_by(self._book, exchange, key=self._key)
            if verdict.action == "BLOCK":
                return []
            edits = verdict.edits
            kept = [
                place
                for place, (start, end) in zip(places, spans, strict=True)
                if any(edit.start <= start and end <= edit.end for edit in edits)
            ]
            if len(kept) == len(places):
                return list(places)
            places = kept
        return []


def with_restored(verdict: Verdict, restored: int = 0, elsewhere: int = 0) -> Verdict:
    """The verdict on an answer, with what was put back; placeholders that stay flag it."""
    if not elsewhere:
        return replace(verdict, restored=restored)
    action: Outcome = "FLAG" if verdict.action == "ALLOW" else verdict.action
    fired = (*verdict.fired, Fired(RESTORE_ELSEWHERE, ()))
    return replace(verdict, action=action, fired=fired, restored=restored)


def _put_back(
    text: str, places: Sequence[Place], *, escape: bool
) -> tuple[str, list[tuple[int, int]]]:
    """The text with its originals, and where they stand in it."""
    pieces, spans, done, length = [], [], 0, 0
    for place in places:
        value = _written(place, escape=escape)
        pieces += [text[done : place.start], value]
        length += place.start - done
        spans.append((length, length + len(value)))
        length += len(value)
        done = place.end
    return "".join((*pieces, text[done:])), spans


def _written(place: Place, *, escape: bool) -> str:
    value = place.original.value
    return escaped(value) if escape else value


def _word(text: str, place: Place) -> str:
    word = word_around(text, place.start, place.end)
    return word.replace(place.original.placeholder, place.original.value)


def _leaves(arguments: Any) -> Iterator[tuple[str, str]]:
    """All texts of arguments, with the outermost names under which they stand."""
    waiting: list[tuple[str, Any]] = [("", arguments)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            for key, member in value.items():
                yield "", str(key)
                waiting.append((name or str(key), member))
        elif isinstance(value, list):
            waiting += [(name, member) for member in value]


def _names(text: str, path: str) -> bool:
    """Whether a text names a path: as a word of its own."""
    at = text.find(path)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(path) : at + len(path) + 2]
        if not (before.isalnum() or before in ("/", ".", "-", "_", "~")) or not at:
            rest = after.lstrip(".,;:!?)]}'\"`")
            if not rest or rest[0].isspace() or after[0].isspace():
                return True
        at = text.find(path, at + 1)
    return False
