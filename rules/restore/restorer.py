"""Decides where originals return: in one text, or in the arguments of one call of a tool.

    the model's text                     unless a reader would follow it there
    content that a file tool writes      into the file that the value came from
    arguments of other tools             where a rule says `restore: all`; never of a shell

And only where the rules find the value again in what the client will send back, so that it
is redacted in every later turn. Elsewhere the placeholder stays, and is counted.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from rules.commands.lines import ARGUMENTS, TOOLS
from rules.evaluate import evaluate_by
from rules.exchange import Exchange, Part
from rules.locate import OWN_STAND_IN
from rules.redact import Edit
from rules.restore.original import Original
from rules.restore.paths import (
    Arguments,
    arguments_of,
    keys_of,
    leaves_of,
    patched,
    target_of,
)
from rules.restore.places import Places
from rules.restore.spans import (
    JOINT,
    LOOKAHEAD,
    Place,
    covered,
    lasting,
    put_back,
    written,
)
from rules.restore.tools import PATCHES, WRITERS
from rules.rulebook import RESTORE_ELSEWHERE, Rulebook
from rules.verdict import Fired, Outcome, Verdict

# Arguments that a tool may follow, and those that it may run, under `restore: all`.
FOLLOWED = frozenset(
    "url uri href src link host hostname domain server endpoint address origin referrer path".split()  # noqa: SIM905
)
RUN = ARGUMENTS | {"program", "args", "argv", "exec", "shell", "entrypoint"}
# Rounds in which places drop out whose value the rules do not find again. Each judges the
# text once.
ROUNDS = 3
# Of one answer: places that are looked at, texts that are judged, and their characters; 20 ms
# a time and 4 s in all where an answer has hundreds. Placeholders beyond these stay. A file of
# secrets has some tens.
MAX_PLACES, MAX_JUDGED, MAX_CHARACTERS = 400, 300, 2 * 1024 * 1024


Allowed = Callable[[Place], bool]
Followed = Callable[[int, int], bool]  # of a start and an end


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
        # The longest first: one placeholder may begin another. Those of the usual form need
        # no pattern of their own, which is slow to compile for very many.
        names = sorted(self._originals, key=len, reverse=True)
        own = [re.escape(name) for name in names if not OWN_STAND_IN.fullmatch(name)]
        self._names = re.compile("|".join((*own, OWN_STAND_IN.pattern)))
        self._last: tuple[Arguments, str, str, bool] | None = None
        self._belongs: dict[tuple[str, str], bool] = {}  # a placeholder, a path
        self._sorted = sorted(self._originals)
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
            if text[at] in self.firsts:
                begun = text[at:]
                # The first name that is not before it, if any, is one that begins so.
                place = bisect_left(self._sorted, begun)
                if self._sorted[place : place + 1] and self._sorted[place].startswith(
                    begun
                ):
                    return at
        return len(text)

    def first(self, text: str, first: int) -> int:
        """The position of the first placeholder from there on; -1 where there is none."""
        known = (
            found.start()
            for found in self._names.finditer(text, first)
            if found[0] in self._originals
        )
        return next(known, -1)

    def undecided(self, text: str, first: int, last: int) -> int:
        """The first placeholder from there on that ends behind `last`; that, where none does."""
        for found in self._names.finditer(text, first):
            if found.end() > last and found[0] in self._originals:
                return min(found.start(), last)
        return last

    def text(
        self,
        text: str,
        before: str = "",
        first: int = 0,
        *,
        sent: Collection[int] = (),
        more: bool = False,
    ) -> list[Edit]:
        """The edits of a text of the model, from a character on; `before` is what stands
        before it, and `sent` are the starts of placeholders whose originals were sent
        already. Where `more` of it may follow, its last LOOKAHEAD characters are left, and
        nothing depends on what follows.
        """
        places = Places(text, before)
        last = len(text) - LOOKAHEAD if more else len(text)
        found = self._places(text)
        chosen = [p for p in found if first <= p.start and p.end <= last]
        back = [p for p in found if p.start in sent]
        part = Part("", "assistant", "text", 0)

        def allowed(place: Place) -> bool:
            if place.original.where == "none" or places.has_call:
                return False
            return not places.is_followed(place.start, place.end)

        def followed(whole: str) -> Followed:
            return Places(whole, before).is_followed

        return self._edits(
            text, chosen, allowed, part, sent=back, more=more, followed=followed
        )

    def shown(self, text: str, sent: Collection[int]) -> str:
        """A text as a client shows it: with the originals of the placeholders that start there."""
        back = [place for place in self._places(text) if place.start in sent]
        return put_back(text, back, escape=False)[0] if back else text

    def arguments(self, tool: str, text: str) -> list[Edit]:
        """The edits of a call's arguments that are one text: JSON, or a patch."""
        arguments = arguments_of(text)
        if isinstance(arguments, str):
            return self.leaf(tool, text, text, "")
        allowed = self._in_json(tool, arguments, text)
        part = Part("", "assistant", "tool_call", 0, tool)
        return self._edits(text, self._places(text), allowed, part, escape=True)

    def leaf(self, tool: str, arguments: Arguments, text: str, name: str) -> list[Edit]:
        """The edits of one text among a call's arguments, under its name."""
        allowed = self._in_leaf(tool, arguments, text, name)
        part = Part("", "assistant", "tool_call", 0, tool, name)
        return self._edits(text, self._places(text), allowed, part)

    # -- which places -------------------------------------------------------------------

    def _in_leaf(
        self, tool: str, arguments: Arguments, text: str, name: str
    ) -> Allowed:
        """Which places of a text among the arguments may get their originals back."""
        sections = patched(text) if tool in PATCHES else []
        path, may_all = self._of_call(tool, arguments)
        is_content = tool in WRITERS and name in WRITERS[tool].content
        for_all = may_all and name.casefold() not in FOLLOWED
        places = Places(text)

        def allowed(place: Place) -> bool:
            original = place.original
            file = next(
                (path for start, end, path in sections if start <= place.start < end),
                path if is_content else "",
            )
            followed = places.is_followed(place.start, place.end, narrow=bool(file))
            if not file or not self._belongs_in(original, file):
                return original.where == "all" and for_all and not followed
            if original.where not in ("files", "all"):
                return False
            # A line of a patch begins with its sign.
            first = 1 if sections else 0
            line = _with(original, places.line(place.start, place.end)[first:])
            word = _with(original, places.word(place.start, place.end))
            if first and word[:1] in "+-":
                word = word[1:]
            return not followed or original.stood_in(file, word, line)

        return allowed

    def _of_call(self, tool: str, arguments: Arguments) -> tuple[str, bool]:
        """The file that a call writes, and whether it may have originals that are for all
        tools. Known for the last one: a call may have very many texts.
        """
        if (
            self._last is None
            or self._last[0] is not arguments
            or self._last[1] != tool
        ):
            path = target_of(tool, arguments)
            self._last = (arguments, tool, path, self._for_all(tool, arguments))
        return self._last[2:]

    def _for_all(self, tool: str, arguments: Arguments) -> bool:
        return (
            bool(tool)
            and not tool.startswith("mcp__")
            and tool not in WRITERS
            and tool not in PATCHES
            and tool.lower() not in TOOLS
            and isinstance(arguments, Mapping)
            and RUN.isdisjoint(key.casefold() for key in keys_of(arguments))
        )

    def _belongs_in(self, original: Original, file: str) -> bool:
        asked = (original.placeholder, file)
        if asked not in self._belongs:
            self._belongs[asked] = original.belongs_in(file)
        return self._belongs[asked]

    def _in_json(self, tool: str, arguments: Arguments, text: str) -> Allowed:
        """The same for arguments that are JSON: where each text of theirs allows it."""
        verdicts: dict[str, list[bool]] = {}
        for name, leaf in leaves_of(arguments):
            places = self._places(leaf)
            kept = self._kept(tool, arguments, leaf, name) if places else set()
            for place in places:
                verdicts.setdefault(place.original.placeholder, []).append(
                    place in kept
                )

        def all_allowed(place: Place) -> bool:
            found = verdicts.get(place.original.placeholder, ())
            return bool(found) and all(found)

        return all_allowed

    def _kept(
        self, tool: str, arguments: Arguments, leaf: str, name: str | None
    ) -> set[Place]:
        """The places of a text among the arguments that may get their originals back."""
        if name is None:
            return set()  # another key would be another argument
        allowed = self._in_leaf(tool, arguments, leaf, name)
        places = self._wanted(self._places(leaf), allowed)
        part = Part("", "assistant", "tool_call", 0, tool, name)
        return set(self._found_again(leaf, places, part, escape=False))

    # -- putting back -------------------------------------------------------------------

    def _edits(
        self,
        text: str,
        places: Sequence[Place],
        allowed: Allowed,
        part: Part,
        *,
        sent: Sequence[Place] = (),
        escape: bool = False,
        more: bool = False,
        followed: Callable[[str], Followed] | None = None,
    ) -> list[Edit]:
        wanted = self._wanted(places, allowed)
        kept = self._found_again(
            text, wanted, part, sent=sent, escape=escape, more=more, followed=followed
        )
        self.restored += len(kept)
        self.elsewhere += sum(
            one.original.where == "all"
            or (
                (one.original.where == "files" or part.kind == "text")
                and one.original.where != "none"
            )
            for one in set(places) - set(kept)
        )
        return [
            Edit(0, place.start, place.end, written(place, escape=escape))
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
            if found[0] in self._originals
        ]

    def _may_judge(self, text: str) -> bool:
        """Count a text that is judged; whether it still may be."""
        self._judged_left -= 1
        self._characters_left -= len(text)
        return min(self._judged_left, self._characters_left) >= 0

    def _found_again(
        self,
        text: str,
        places: Sequence[Place],
        part: Part,
        *,
        sent: Sequence[Place] = (),
        escape: bool,
        more: bool = False,
        followed: Callable[[str], Followed] | None = None,
    ) -> list[Place]:
        """Those whose values the rules find in the text as it will be sent back, and that no
        reader would have `followed` there. The same must hold for those of `sent`: one value
        can hide another that it stands next to, or make a URL of it.
        """
        if self._book.history == "ignore":
            return []
        back = set(sent)
        for _ in range(ROUNDS):
            if not places:
                break
            together = [*sent, *places]
            whole, spans = put_back(text, together, escape=escape)
            safe = set(spans)
            if followed is not None:
                is_followed = followed(whole)
                safe = {span for span in safe if not is_followed(*span)}
            # A client may join a text to its neighbours.
            for joint in ("", JOINT) if part.kind == "text" else ("",):
                if not self._may_judge(whole):
                    return []
                joined = part._replace(text=f"{joint}{whole}{joint}")
                exchange = replace(self._context, parts=(joined,))
                verdict = evaluate_by(self._book, exchange, key=self._key)
                if verdict.action == "BLOCK":
                    return []
                edits = [(edit.start, edit.end) for edit in verdict.edits]
                safe &= covered(spans, edits, len(joint))
                if more:
                    lasts = lasting(verdict.fired, len(joint) + len(whole))
                    safe &= covered(spans, lasts, len(joint))
            kept = [
                place
                for place, span in zip(together, spans, strict=True)
                if span in safe
            ]
            if len(kept) == len(together):
                return list(places)
            left = [place for place in kept if place not in back]
            if len(left) == len(places):
                break  # they hide what was sent
            places = left
        return []


def with_restored(verdict: Verdict, restored: int = 0, elsewhere: int = 0) -> Verdict:
    """The verdict on an answer, with what was put back; placeholders that stay flag it."""
    if verdict.action == "BLOCK":
        return verdict  # nothing of it is sent, or nothing more
    if not elsewhere:
        return replace(verdict, restored=restored)
    action: Outcome = "FLAG" if verdict.action == "ALLOW" else verdict.action
    fired = (*verdict.fired, Fired(RESTORE_ELSEWHERE, ()))
    would = verdict.would if verdict.would != action else None
    return replace(verdict, action=action, would=would, fired=fired, restored=restored)


def _with(original: Original, text: str) -> str:
    """A text with the value in place of its placeholder."""
    return text.replace(original.placeholder, original.value)
