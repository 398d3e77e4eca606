"""Known values: an operator's own secrets, host names and numbers of customers, looked for as they are, wherever they stand.

Each is a rule of its own, `known.<name>`, which redacts, so overrides and exceptions name it like any other. Its value is
only ever in memory: in no rule source, no compiled database on disk, no explanation and no representation of an object.
"""

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.entities import codepoint2name

from rules.complaint import Mark
from rules.locate import STAND_IN, Pattern
from rules.model import KNOWN, Matches, Rule
from rules.patterns import SPACE, escaped

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
# Characters of a value. Fewer stand in texts by chance; more are a file, and no value.
SHORTEST, LONGEST = 8, 1024
LONG = 16  # from here on, it is the value even as a piece of a longer word
DIFFERENT = (
    4  # characters that a value must have of different kinds: `--------` is none
)
# Of one tenant. As many of 16 characters take some 8 s to compile; a text takes no longer to judge.
MAX_VALUES = 1_000

AT = Mark("known values", 1, 1)
# White space between the words of a value, in a URL or a form, too.
SPACED = rf"(?:{SPACE}|%20|\+|\\[nrt]|&#(?:32|x20);)"
ESCAPED = "\"'/\\"  # by a backslash in JSON and in code, however often
_DIGIT = "[A-Za-z0-9+/_-]"
_DIGITS = {"+": "[+-]", "/": "[/_]"}  # both alphabets of RFC 4648
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class KnownValue:
    """A value, and the name by which audit and placeholders speak of it. `any_case`: in capitals and small letters alike."""

    name: str
    value: str = field(repr=False)
    any_case: bool = False

    @property
    def regex(self) -> str:
        """It, as RE2 writes it, and its encodings.

        Its white space may be any, up to eight characters; a short word is no piece of a longer one.
        """
        value = unicodedata.normalize("NFC", self.value)
        words = value.split()
        written = SPACED.join("".join(map(_written, word)) for word in words)
        # One with other signs in it is hardly a piece of anything.
        short = len(value) < LONG and value.isalnum()
        before, after = (
            r"(?:\b|_)" if short and _is_word(one) else ""
            for one in (words[0][0], words[-1][-1])
        )
        case = "(?i)" if self.any_case else ""
        encoded = "|".join(
            form
            for text in dict.fromkeys((value, unicodedata.normalize("NFD", value)))
            for form in _encoded(text.encode())
        )
        return f"{case}(?:{before}(?P<secret>{written}){after}|(?-i:{encoded}))"


@dataclass(frozen=True, slots=True)
class KnownValues:
    """All known values of a tenant. Two that are equal by their `mark` have the same content."""

    mark: str = ""
    values: tuple[KnownValue, ...] = field(default=(), compare=False, repr=False)


NONE = KnownValues()


def mark_of(sealed: Iterable[tuple[str, str, bool]]) -> str:
    """A mark of known values, each a name, its sealed value, and `any_case`: it tells nothing of them."""
    lines = sorted(f"{name} {value} {any_case}" for name, value, any_case in sealed)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12] if lines else ""


def rules_of(known: KnownValues) -> list[tuple[Rule, Pattern]]:
    """The rule of each value, and what it looks for."""
    return [
        (rule_of(one.name), Pattern(one.regex, private=True)) for one in known.values
    ]


def rule_of(name: str) -> Rule:
    """The rule of the value of this name, without what it looks for."""
    return Rule(
        id=KNOWN + name,
        at=AT,
        action="redact",
        message=f"The known value {name}",
        severity="high",
        match=Matches("all", (), AT),
        head="refuse",
    )


def is_known(rule: Rule) -> bool:
    """Whether it is the rule of a known value."""
    return rule.at == AT


def complaint(value: str) -> str:
    """Why a value cannot be a known one, as the rest of the sentence "it …"; empty where it can."""
    if len(value) > LONGEST:
        return f"has more than {LONGEST:,} characters; write a rule for what is as long"
    if _CONTROL.search(value):
        return "has characters that no text has"
    if STAND_IN in value:
        return "is a placeholder of Earthflow"
    if len(value.strip()) < SHORTEST:
        return f"has fewer than {SHORTEST} characters, and would be found where it is not meant"
    if value.strip().isalpha() and len(value.strip()) < LONG:
        return "is a word, and would be found where it is not meant; write a rule with keywords for names"
    if len(set(value) - set(" \t\r\n")) < DIFFERENT:
        return f"has fewer than {DIFFERENT} different characters, and would be found where it is not meant"
    return ""


def _is_word(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _written(character: str) -> str:
    """A character that an encoding may escape, in all forms; letters and digits of ASCII stay what they are."""
    if _is_word(character):
        return character
    plain = escaped(character)
    if character in ESCAPED:
        plain = r"\\{1,8}" if character == "\\" else rf"\\{{0,8}}{plain}"
    forms = [plain, _codes(character)]
    apart = unicodedata.normalize("NFD", character)
    if apart != character:
        # Its codes are views (`escapes.py`): written here, Hangul would compile for seconds.
        forms.append("".join(map(escaped, apart)))
        forms.append(escaped(apart[0]))  # as views without marks show it
    return f"(?:{'|'.join(forms)})"


def _codes(character: str) -> str:
    """A character in the codes of URLs, of JSON and of HTML."""
    utf8 = "".join(f"%{byte:02x}" for byte in character.encode())
    utf16 = character.encode("utf-16-be").hex()
    json = "".join(rf"\\{{1,8}}u{utf16[at : at + 4]}" for at in range(0, len(utf16), 4))
    code = ord(character)
    html = f"&#(?:0{{0,5}}{code}|x0{{0,5}}{code:x});"
    name = f"|&{codepoint2name[code]};" if code in codepoint2name else ""
    return f"(?i:{utf8}|{json}|{html}{name})"


def _encoded(data: bytes) -> list[str]:
    """What base64 and hexadecimal digits make of some bytes."""
    pairs = "[ :,-]?".join(f"{byte:02x}" for byte in data)
    return [*_base64s(data), f"(?i:{pairs})"]


def _base64s(data: bytes) -> list[str]:
    """What base64 makes of some bytes behind none, one or two others, with the digits beside it that hold a piece of them."""
    found = []
    for skipped in range(3):
        digits = base64.b64encode(bytes(skipped) + data).rstrip(b"=").decode()
        # The first and the last digit may hold bits of what stands beside.
        first = -(-skipped * 8 // 6)
        last = (skipped + len(data)) * 8 // 6
        core = "".join(_DIGITS.get(digit, digit) for digit in digits[first:last])
        found.append(
            f"{_DIGIT if skipped else ''}{core}{_DIGIT if last < len(digits) else ''}"
        )
    return found
