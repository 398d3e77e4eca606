"""Reads `tests`: the texts and calls that a rule must match, and those that it must not."""

from datetime import datetime

import yaml

from rules.complaint import likely
from rules.exchange import REASONS
from rules.model import Test
from rules.source.document import Document, Handler
from rules.source.when import CONTEXT, WORDS


class TestReader:
    """Reads a rule's tests; complaints go to the document."""

    __test__ = False  # pytest would collect it

    def __init__(self, document: Document):
        self._document = document

    def tests(self, node: yaml.Node) -> tuple[Test, ...]:
        """A list of tests."""
        return tuple(self._test(item) for item in self._document.items(node, "`tests`"))

    def _test(self, node: yaml.Node) -> Test:
        values = self._document.mapping(
            node,
            {
                "match": self._sample,
                "ok": self._sample,
                "redacted": self._document.word,
            },
            what="a test",
        )
        if ("match" in values) == ("ok" in values):
            self._document.fault(
                node,
                "a test says either `match` (the rule must fire) or `ok` (it must not)",
            )
        sample = values.get("match", values.get("ok", ""))
        text, context = (sample, ()) if isinstance(sample, str) else (None, sample)
        if "redacted" in values and text is None and "text" not in dict(context):
            self._document.fault(
                node, "`redacted` says what becomes of a text, but this test has none"
            )
        return Test(
            "match" in values,
            self._document.mark(node),
            text,
            context,
            values.get("redacted"),
        )

    def _sample(self, node: yaml.Node) -> str | tuple[tuple[str, str], ...]:
        if not isinstance(node, yaml.MappingNode):
            return self._document.word(node)
        # which follows from `unreadable` and `text`
        known = [name for name in CONTEXT if name != "coverage"]
        handlers: dict[str, Handler] = dict.fromkeys(
            (*known, "text"), self._document.word
        )
        handlers |= {
            name: self._document.choice(words, name)
            for name, words in WORDS.items()
            if name in ("role", "part", "stream")
        }
        handlers |= {
            "size": self._document.number("size", 0, 10**12),
            "tokens": self._document.number("number of tokens", 0, 10**6),
        }
        handlers |= {
            "time": self._moment,
            "unreadable": self._reasons,
            "direction": self._document.choice(WORDS["direction"][:-1], "direction"),
        }
        return tuple(
            (name, str(value))
            for name, value in self._document.mapping(
                node, handlers, what="a test's context"
            ).items()
        )

    def _moment(self, node: yaml.Node) -> str:
        value = self._document.word(node)
        try:
            datetime.fromisoformat(value)
        except ValueError:
            self._document.fault(
                node, f"`{value}` is not a time", "such as 2026-11-23T09:30:00Z"
            )
        return value

    def _reasons(self, node: yaml.Node) -> str:
        value = self._document.word(node)
        for reason in value.split():
            if reason not in REASONS:
                self._document.fault(
                    node,
                    f"`{reason}` is not a valid unreadable",
                    likely(reason, REASONS),
                )
        return value
