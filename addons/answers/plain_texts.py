"""The texts of a whole answer that is plain: prose, numbers and names, as most are.

Of an answer without tool calls, signatures, media and logprobs this gives the same parts as
`texts.py`, by one recursion without generators and channels: nothing continues from one whole
answer to another. What is not plain is left to `texts.py`.
"""

from typing import Any

from addons.answers.texts import (
    CALL_TYPE,
    CALLS,
    COMPLETE,
    KEYS,
    MEDIA,
    MEDIA_LENGTH,
    SIGNS,
    has_logprobs,
)
from rules.exchange import Part, Unreadable
from rules.leaves import BULK, SHORT_NUMBER, Number, Unread, Walk, parse

MAX_DEPTH = 24  # containers inside one another; plain answers have six
# Bytes of a document: of a longer one the other reader costs little beside the rules.
LONGEST = 256 * 1024
NOT_PLAIN = CALLS | {"delta"}  # in a `delta` even names are joined


class PlainAnswer:
    """A whole answer: its document, and its parts in their order."""

    __slots__ = ("_literal", "_quotes", "_strings", "document", "parts")

    def __init__(self, document: dict[str, Any]):
        self.document = document
        self.parts: list[Part] = []
        self._literal = self._strings = self._quotes = 0

    def read(self, body: bytes) -> bool:
        """Add the parts; whether the document is plain."""
        if not self._object(self.document, 0):
            return False
        walk = Walk()
        try:
            walk.passed(self._strings, self._quotes)
            walk.end(body)
        except Unread:
            return False
        return True

    def _object(self, value: dict[str, Any], depth: int) -> bool:
        if depth >= MAX_DEPTH:
            return False
        for key, inner in value.items():
            if key in NOT_PLAIN:
                return False
            if key not in KEYS:
                self.parts.append(Part(key, "assistant", "key", self._literal))
            self._literal += 1
            self._strings += 1
            if '"' in key:
                self._quotes += key.count('"')
            if not self._value(inner, key, depth):
                return False
        return True

    def _value(self, value: Any, name: str, depth: int) -> bool:
        """Add the parts of a value that stands under the key `name`, in lists or not."""
        kind = type(value)
        if kind is str:
            if len(value) > MEDIA_LENGTH and name in MEDIA:
                return False
            if name == "type" and CALL_TYPE.search(value):
                return False
            sort = "field" if name in COMPLETE else "text"
            self.parts.append(Part(value, "assistant", sort, self._literal, "", name))  # type: ignore[arg-type]
            self._literal += 1
            self._strings += 1
            if '"' in value:
                self._quotes += value.count('"')
        elif kind is dict:
            return self._object(value, depth + 1)
        elif kind is list:
            depth += 1
            if depth >= MAX_DEPTH or len(value) >= BULK:
                return False
            for inner in value:
                if not self._value(inner, name, depth):
                    return False
        elif kind is int or kind is Number:
            written = str(value)
            if len(written) >= SHORT_NUMBER:
                self.parts.append(Part(written, "assistant", "field", self._literal, "", name))  # fmt: skip
            self._literal += 1
        return True


def read_plain(body: bytes) -> PlainAnswer | None:
    """A whole answer, if it is plain. Never raises."""
    if len(body) > LONGEST or body[:1] != b"{" or any(sign in body for sign in SIGNS):
        return None
    document = parse(body, constants=True)
    if isinstance(document, Unreadable) or type(document) is not dict:
        return None
    if b'"logprobs"' in body and has_logprobs(document):
        return None
    answer = PlainAnswer(document)
    return answer if answer.read(body) else None
