"""Places of a text where no original returns: what a reader would follow, fetch or run.

    https://x.example/?q=[REDACTED:…]      a URL, and what looks like the name of a host
    [click](/a?b=[REDACTED:…])             the target of a link or an image
    [1]: /a?b=[REDACTED:…]                 the same, further down
    <img src=[REDACTED:…]>                 an attribute of markup
    <execute_command>…                     the call of a tool, written as text

Rather too many than too few: there the placeholder stays.
"""

import re
from html import unescape

# How far a URL, a target or a tag reaches back: longer ones than any that is fetched. And an
# attribute, or a target in a style sheet.
MAX_BACK, MAX_NAME = 2_048, 512
# Schemes that are followed with any number of slashes, or none.
SCHEMES = re.compile(
    r"(?i)(?:https?|wss?|ftps?|file|mailto|tel|sms|javascript|data|vscode|blob|intent):"
)
RELATIVE = re.compile(r"(?i)(?:^|[(\[=,;])(?://|www\.)")
# Blanks at which every reader ends a URL; there are more that only some end it at.
BLANKS, NARROW = " \t\r\n\f\v<>", " \t\r\n\f\v<>\"'`"
# The definition of a target, whose URL may stand in the next line, in quotes and lists.
DEFINITION = re.compile(
    r"(?:^|\n)[\s>*+\d.)-]{0,40}\[[^\n]{1,999}\]:|\.\. (?:image|figure)::"
)
PARAGRAPH = re.compile(r"\n[\s>]*\n")
ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
TAG = re.compile(r"[A-Za-z/!?]")
MARKUP = re.compile(r"<[A-Za-z/!?]")
ATTRIBUTE = re.compile(
    r"[\w:@.*-]{1,64}\s{0,9}=\s{0,9}(?:\"[^\"]*|'[^']*|[^\s\"'<>]*)$"
)
STYLE = re.compile(r"(?i)(?:url|image|import)\s{0,9}\(?\s{0,9}[\"']?[^\s\"')]*$")
# What follows a host's or a user's name, and makes one of what stands before.
HOST = re.compile(r"@|\.[A-Za-z0-9]|:\d|/[A-Za-z0-9]")
# A call of a tool that a client may read out of a text.
CALL = re.compile(
    r"(?i)<(?:[\w-]*:)?(?:execute_command|use_mcp_tool|tool_call|tool_use|function|invoke|run|command)|action input:"
    r"|(?:```|~~~)\s*(?:bash|sh|shell|zsh|console|terminal|powershell|pwsh|ps1|cmd|bat|json tool)"
)


class Places:
    """One text. `before` is what stands before it in the same answer."""

    def __init__(self, text: str, before: str = ""):
        self._text, self._before = text, before[-MAX_BACK:]
        self._has_markup = MARKUP.search(text) is not None or "<" in self._before
        self.has_call = CALL.search(text) is not None or CALL.search(self._before) is not None  # fmt: skip

    def is_followed(self, start: int, end: int, *, narrow: bool = False) -> bool:
        """Whether what stands there belongs to something that a reader would follow or fetch.

        A URL ends at blanks, as readers that make links of text take it; `narrow`: at quotes,
        too, as in files of code.
        """
        if HOST.match(self._text, end):
            return True
        whole = self._before + self._text[max(0, start - MAX_BACK) : start]
        before = whole[-MAX_BACK:]
        shown = ESCAPED.sub(r"\1", unescape(before))
        ends = NARROW if narrow else BLANKS
        return self._is_in_link(start) or any(
            _is_in_url(text, ends) or _is_defined(text) or self._is_in_markup(text)
            for text in dict.fromkeys((before, shown))
        )

    def _is_in_link(self, start: int) -> bool:
        """Whether a link's or an image's target may have begun, and not ended."""
        whole = self._before + self._text
        end = len(self._before) + start
        opened = whole.find("](", max(0, whole.rfind("\n\n", 0, end)), end)
        if opened < 0:
            return False
        rest = whole[opened + 2 : end]
        # With brackets or escapes in it, readers differ in where it ends.
        return ")" not in rest or any(sign in rest for sign in "[(\\")

    def _is_in_markup(self, before: str) -> bool:
        opened = before.rfind("<")
        if opened > before.rfind(">") and TAG.match(before, opened + 1) is not None:
            return True
        near = before[-MAX_NAME:]
        # A quoted `>` ends no tag.
        return (
            self._has_markup and ATTRIBUTE.search(near) is not None
        ) or STYLE.search(near) is not None

    def word(self, start: int, end: int) -> str:
        """The characters around a place up to the next blank, quote or angle bracket."""
        text = self._text
        before = _last_word(text[max(0, start - MAX_BACK) : start], NARROW)
        after = text[end : end + MAX_BACK]
        stop = min((at for sign in NARROW if (at := after.find(sign)) >= 0), default=len(after))  # fmt: skip
        return f"{before}{text[start:end]}{after[:stop]}"

    def line(self, start: int, end: int) -> str:
        """The line around a place."""
        first = self._text.rfind("\n", 0, start) + 1
        last = self._text.find("\n", end)
        return self._text[first : last if last >= 0 else len(self._text)]


def _last_word(text: str, ends: str) -> str:
    return text[max(map(text.rfind, ends)) + 1 :]


def _is_in_url(before: str, ends: str) -> bool:
    word = _last_word(before, ends)
    return (
        len(word) >= MAX_BACK - 1  # who knows how it begins
        or "://" in word
        or ":\\/\\/" in word
        or SCHEMES.search(word) is not None
        or RELATIVE.search(word) is not None
    )


def _is_defined(before: str) -> bool:
    """Whether it stands in the definition of a target."""
    if "]:" not in before and "::" not in before:
        return False
    return DEFINITION.search(PARAGRAPH.split(before)[-1]) is not None
