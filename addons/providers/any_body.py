"""Reads the body of a call of no known format: JSON of any shape, a form, or plain text.

What is readable is read, whatever path the call has. Who speaks in it is not known, so each
text counts as a user's.

    {"instructions": "be brief", "limit": 250000}    three texts: a key, the user's, a number
    note=my+key&to=me%40x.example                    one text, its blanks as they are meant
    <note>any other text</note>                      one text
"""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from addons.providers.form import is_form, read_form
from addons.providers.json_call import user_of
from addons.providers.provider import Call
from rules.exchange import NOWHERE, Part, Unreadable
from rules.leaves import Leaf, Unread, Walk, parse
from rules.redact import Edit, splice

Write = Callable[[bytes, Sequence[Edit]], bytes]

URL_FORM = "application/x-www-form-urlencoded"
# A text with one of these may be of a protocol that counts its bytes: it is not edited.
CONTROLS = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")


def read_any(body: bytes, content_type: str) -> tuple[Call, Write] | None:
    """The call in a body, and what writes edits into it; None where it is no text. Total."""
    if is_form(content_type):
        form = read_form(body, content_type, "")
        if not isinstance(form, Unreadable):
            return form[0], form[1].write
    return _read_json(body) or _read_text(body, content_type)


def _read_json(body: bytes) -> tuple[Call, Write] | None:
    if body.lstrip()[:1] not in (b"{", b"[", b'"'):
        return None
    document, walk = parse(body), Walk()
    if isinstance(document, Unreadable):
        return None
    try:
        parts = tuple(map(_part, walk.leaves(document)))
        walk.end(body)
    except Unread:
        return None
    known: Mapping[str, object] = document if isinstance(document, dict) else {}
    model, user = (
        name if isinstance(name, str) else ""
        for name in (known.get("model"), user_of(known))
    )
    return Call(model, stream=False, parts=parts, user=user), splice


def _part(leaf: Leaf) -> Part:
    if leaf.is_key:
        return Part(leaf.text, "other", "key", leaf.literal)
    value = leaf.around[-1][leaf.path[-1]] if leaf.path else leaf.text
    if type(value) is str:
        return Part(leaf.text, "user", "text", leaf.literal)
    return Part(leaf.text, "other", "field", leaf.literal)  # a number ends no sentence


def _read_text(body: bytes, content_type: str) -> tuple[Call, Write] | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if not text or "\0" in text:
        return None
    in_url = content_type.partition(";")[0].strip().lower() == URL_FORM
    # Position by position the same text, so an edit needs no way back.
    shown = text.replace("+", " ") if in_url else text
    literal = NOWHERE if CONTROLS.search(text) else 0

    def write(body: bytes, edits: Sequence[Edit]) -> bytes:
        pieces, done = [], 0
        for edit in sorted(edits):
            if edit.literal != 0 or not done <= edit.start < edit.end <= len(text):
                raise ValueError("an edit names what is not in the text")
            pieces += [text[done : edit.start], quote(edit.text) if in_url else edit.text]  # fmt: skip
            done = edit.end
        return "".join((*pieces, text[done:])).encode()

    part = Part(shown, "user", "text", literal)
    return Call("", stream=False, parts=(part,)), write
