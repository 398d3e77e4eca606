"""Harmless texts of many kinds, for measuring false alarms.

None contains a credential, personal data or an attack; many contain what resembles them: hashes, ids, serial
numbers, placeholders, and documentation about security.
"""

from collections.abc import Callable
from random import Random

from bench.corpus import benign_code as code
from bench.corpus import benign_data as data
from bench.corpus.benign_documents import security_document
from bench.corpus.benign_prose import (
    ARABIC,
    ENGLISH,
    FRENCH,
    GERMAN,
    SPANISH,
    Grammar,
    prose,
)

Maker = Callable[[Random], str]


def _prose(grammar: Grammar) -> Maker:
    return lambda rng: prose(rng, grammar)


def _bounded(make: Maker) -> Maker:
    """Repeat a short text and cut a long one at a line or word boundary, to 300 to 3000 characters."""

    def bounded(rng: Random) -> str:
        text = make(rng)
        while len(text) < 300:
            text += "\n" + make(rng)
        if len(text) > 3000:
            cut = text[:3000]
            text = cut[: max(cut.rfind("\n"), cut.rfind(" "), 2000)]
        return text

    return bounded


BENIGN: dict[str, Maker] = {
    name: _bounded(make)
    for name, make in {
        "prose_en": _prose(ENGLISH),
        "prose_fr": _prose(FRENCH),
        "prose_ar": _prose(ARABIC),
        "prose_es": _prose(SPANISH),
        "prose_de": _prose(GERMAN),
        "python": code.python_code,
        "javascript": code.javascript_code,
        "javascript_minified": code.minified_javascript,
        "go": code.go_code,
        "sql": code.sql_code,
        "configuration": code.configuration,
        "git_diff": code.git_diff,
        "stack_trace": code.stack_trace,
        "notebook": code.notebook_cell,
        "logs": data.log_lines,
        "api_answer": data.api_answer,
        "csv": data.csv_table,
        "image_uri": data.image_uri,
        "catalogue": data.catalogue,
        "itinerary": data.itinerary,
        "mathematics": data.mathematics,
        "lockfile": data.lockfile,
        "small_talk": data.small_talk,
        "security_document": security_document,
    }.items()
}
