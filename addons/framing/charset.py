"""The charset that a Content-Type declares. Everything is read as UTF-8; a reader that follows another charset sees other text."""

import codecs
import encodings
import re
from encodings import aliases

from rules.exchange import Unreadable

CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';,]*)", re.IGNORECASE)
UTF_8 = ("", "utf-8", "utf8", "us-ascii", "ascii")
# Of these, ASCII is written as in UTF-8. Older clients in Java name them without need.
LIKE_ASCII = ("iso-8859-1", "latin1", "windows-1252")
# Python remembers every name that it is asked for, so it is asked for none that it does not have.
KNOWN = frozenset(aliases.aliases) | frozenset(aliases.aliases.values())
# Python's codecs of names and of source code: no charsets, and some take quadratic time.
NO_CHARSET = ("punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape")


def charsets_of(content_type: str) -> list[str]:
    """The declared charsets, in lower case; usually one or none."""
    return [name.lower() for name in CHARSET.findall(content_type)]


def is_utf8(body: bytes, content_type: str) -> bool:
    """Whether a reader who follows the declared charset reads what we read."""
    return all(
        name in UTF_8 or (name in LIKE_ASCII and body.isascii())
        for name in charsets_of(content_type)
    )


def hides_ascii(content_type: str) -> bool:
    """Whether the declared charset writes even ASCII in another way, or may."""
    return not all(name in UTF_8 + LIKE_ASCII for name in charsets_of(content_type))


def text_in(body: bytes, content_type: str) -> str | Unreadable:
    """The text as a reader of the declared charset has it. Total."""
    name = charsets_of(content_type)[0]
    if encodings.normalize_encoding(name) not in KNOWN:
        return Unreadable("unknown_encoding")
    try:
        codec = codecs.lookup(name)
        if codec.name in NO_CHARSET or not codec._is_text_encoding:
            return Unreadable("unknown_encoding")
        return codec.decode(body, "replace")[0]
    except (LookupError, ValueError, UnicodeError):
        return Unreadable("unknown_encoding")
