"""Places of a text where no original returns: what a reader would follow or fetch.

    https://x.example/?q=[REDACTED:…]      a URL
    [click](/a?b=[REDACTED:…])             the target of a link or an image
    [1]: /a?b=[REDACTED:…]                 the same, further down
    <img src=[REDACTED:…]>                 an attribute of markup

Rather too many than too few: there the placeholder stays.
"""

import re

# How far a URL, a target or a tag reaches back: longer ones than any that is fetched. And an
# attribute, or a target in a style sheet.
MAX_BACK, MAX_NAME = 8_192, 512
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|\\/\\/)")
# Schemes that are followed without slashes.
OTHERS = re.compile(r"(?i)(?:mailto|tel|sms|javascript|data|vscode|file|blob|intent):")
RELATIVE = re.compile(r"(?i)(?:^|[(\[=,;])(?://|www\.)")
DEFINITION = re.compile(r"\s{0,3}>?\s{0,3}\[[^\]]+\]:")
TAG = re.compile(r"[A-Za-z/!?]")
MARKUP = re.compile(r"<[A-Za-z/!?]")
ATTRIBUTE = re.compile(
    r"[\w:@.*-]{1,64}\s{0,9}=\s{0,9}(?:\"[^\"]*|'[^']*|[^\s\"'<>]*)$"
)
STYLE = re.compile(r"(?i)(?:url|image|import)\s{0,9}\(?\s{0,9}[\"']?[^\s\"')]*$")


def is_followed(text: str, start: int, *, narrow: bool = False) -> bool:
    """Whether what begins there belongs to something that a reader would follow or fetch.

    A URL ends at blanks, as readers that make links of text take it; `narrow`: at quotes, too,
    as in files of code.
    """
    before = text[max(0, start - MAX_BACK) : start]
    return (
        _is_in_url(before, narrow=narrow)
        or _is_in_target(before)
        or _is_in_markup(before)
    )


def word_around(text: str, start: int, end: int) -> str:
    """The characters around a place up to the next blank, quote or angle bracket."""
    before = re.split(r"[\s<>\"'`]", text[max(0, start - MAX_BACK) : start])[-1]
    after = re.split(r"[\s<>\"'`]", text[end : end + MAX_BACK], maxsplit=1)[0]
    return f"{before}{text[start:end]}{after}"


def _is_in_url(before: str, *, narrow: bool) -> bool:
    word = re.split(r"[\s<>\"'`]" if narrow else r"[\s<>]", before)[-1]
    return (
        SCHEME.search(word) is not None
        or OTHERS.search(word) is not None
        or RELATIVE.search(word) is not None
    )


def _is_in_target(before: str) -> bool:
    line = before.rpartition("\n")[2]
    if DEFINITION.match(line) is not None:
        return True
    opened = before.rfind("](")
    rest = before[opened + 2 :]
    return opened >= 0 and "\n\n" not in rest and rest.count("(") >= rest.count(")")


def _is_in_markup(before: str) -> bool:
    opened = before.rfind("<")
    if opened > before.rfind(">") and TAG.match(before, opened + 1) is not None:
        return True
    near = before[-MAX_NAME:]
    # A quoted `>` ends no tag.
    in_markup = MARKUP.search(before) is not None
    return (in_markup and ATTRIBUTE.search(near) is not None) or STYLE.search(
        near
    ) is not None
