"""Stage 1 without hyperscan:

RE2's filter tells which patterns occur, not where. Same interface, same findings,
slower.
"""

from collections.abc import Mapping, Sequence

import re2

from rules.patterns import BadPattern, options


class Portable:
    """Finds which expressions occur in a text."""

    name = "portable"

    def __init__(self, expressions: Sequence[str]):
        self._filter = re2.Filter()
        self._empty = not expressions
        try:
            for expression in expressions:
                # In a joined text, ^ and $ must also match between texts, or stage 1
                # would miss what stage 2 finds.
                self._filter.Add(("(?m)" + expression).encode(), options())
            if expressions:
                self._filter.Compile()
        except re2.error as error:
            raise BadPattern(
                f"all patterns together are too large for RE2: {error}"
            ) from None

    def occurring(self, data: bytes) -> set[int]:
        """Which expressions occur."""
        return set(self.ends(data))

    def ends(self, data: bytes) -> Mapping[int, Sequence[int] | None]:
        """Which expressions occur; None: anywhere."""
        return {} if self._empty else dict.fromkeys(self._filter.Match(data) or ())
