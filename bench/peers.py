"""Run by the others' own Python: python peers.py TEXTS.json prints, for each tool, median milliseconds of CPU by size."""

import json
import statistics
import sys
import time

import kingfisher_sdk
import presidio_analyzer.predefined_recognizers as recognizers
from detect_secrets.core.scan import scan_line
from detect_secrets.settings import default_settings
from presidio_analyzer import PatternRecognizer


def english() -> list:
    """Presidio's pattern recognisers for English."""
    made = []
    for name in dir(recognizers):
        kind = getattr(recognizers, name)
        if (
            isinstance(kind, type)
            and issubclass(kind, PatternRecognizer)
            and kind is not PatternRecognizer
        ):
            try:
                made.append(kind())
            except TypeError:
                continue
    return [one for one in made if one.supported_language == "en"]


def main(path: str) -> None:
    """Measure each tool over the same texts."""
    with open(path) as file:
        sizes = json.load(file)
    scanner = kingfisher_sdk.Scanner()
    presidio = english()
    tools = {
        "kingfisher-secret-scanner (secrets only)": lambda text: scanner.scan(text),
        "detect-secrets (secrets only, line by line)": lambda text: [
            list(scan_line(line)) for line in text.split("\n")
        ],
        f"presidio, {len(presidio)} pattern recognisers (personal data only)": lambda text: [
            one.analyze(text, one.supported_entities, None) for one in presidio
        ],
    }
    result = {}
    with default_settings():
        for name, work in tools.items():
            work(sizes[0][0])
            result[name] = []
            for texts in sizes:
                taken = []
                for text in texts[: 2 if len(text_of(texts)) > 100_000 else 5]:
                    began = time.thread_time_ns()
                    work(text)
                    taken.append((time.thread_time_ns() - began) / 1e6)
                result[name].append(statistics.median(taken))
    print(json.dumps(result))


def text_of(texts: list) -> str:
    """One of them."""
    return texts[0]


if __name__ == "__main__":
    main(sys.argv[1])
