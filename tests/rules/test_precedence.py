"""Who wins: presets, the operator's files, a tenant's file, overrides; and that tenants stay apart."""

import json
from collections.abc import Mapping

from typer.testing import CliRunner

from cli.__main__ import app
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.layers import ALL, sources_of
from rules.load import Library
from rules.sources import version_of
from rules.verdict import Verdict

SHIPPED = {
    "earthflow/pack": "earthflow: 1\nrules:\n  - {id: p.a, action: flag, match: {keywords: alpha}}\n  - {id: p.b, action: flag, match: {keywords: beta}}\n",
    "earthflow/default": "earthflow: 1\nextends: [earthflow/pack]\nthresholds: {odd: {flag: 5}}\n",
    "earthflow/strict": "earthflow: 1\nextends: [earthflow/default]\n",
    "earthflow/monitor": 'earthflow: 1\nextends: [earthflow/default]\noverrides: {"*": {mode: monitor}}\n',
}
OWN = {
    "a.yaml": "earthflow: 1\nrules:\n  - {id: p.a, action: redact, match: {keywords: alpha}}\n  - {id: own, action: flag, match: {keywords: gamma}}\n",
    "b.yaml": "earthflow: 1\nhistory: block\nrules:\n  - {id: own, action: block, match: {keywords: gamma}}\noverrides: {p.b: {action: block}}\n",
    "tenants/t1.yaml": "earthflow: 1\nrules:\n  - {id: own, action: flag, match: {keywords: delta}}\noverrides: {p.b: {action: redact, mode: enforce}}\n",
}
LIBRARY = Library({**SHIPPED, **OWN}, portable=True)


def action(text: str, tenant: str = "", preset: str = "default") -> str:
    return evaluate(
        LIBRARY.rulebook(preset, tenant),
        Exchange(parts=(Part(text, "user", "text", 0),)),
    ).action


def test_a_later_file_replaces_an_earlier_rule_of_the_same_id() -> None:
    assert [action(word) for word in ("alpha", "beta", "gamma")] == [
        "REDACT",
        "BLOCK",
        "BLOCK",
    ]


def test_a_tenants_file_comes_after_the_operators_and_speaks_for_that_tenant_alone() -> (
    None
):
    assert [action(word, "t1") for word in ("alpha", "beta", "gamma", "delta")] == [
        "REDACT",
        "REDACT",
        "ALLOW",
        "FLAG",
    ]
    assert action("delta", "t2") == action("delta") == "ALLOW"


def test_the_presets_own_overrides_come_last_so_that_monitor_means_monitor() -> None:
    assert [
        action(word, tenant, "monitor")
        for word in ("alpha", "beta", "gamma")
        for tenant in ("", "t1")
    ] == ["ALLOW"] * 6


def test_history_and_thresholds_are_the_last_that_was_said() -> None:
    assert LIBRARY.rulebook("default").history == "block"
    assert [name for name, _ in LIBRARY.rulebook("default", "t1").thresholds] == ["odd"]


def test_a_version_names_what_has_a_say_and_nothing_else() -> None:
    sources = {**SHIPPED, **OWN}
    assert (
        version_of("default", sources, "t1")
        != version_of("default", sources)
        == version_of("default", sources, "t2")
    )
    changed = {**sources, "tenants/t1.yaml": "earthflow: 1\n"}
    assert version_of("default", changed) == version_of("default", sources)
    assert version_of("default", changed, "t1") != version_of("default", sources, "t1")


def test_compiled_patterns_are_shared_by_tenants() -> None:
    one, other = LIBRARY.rulebook("default", "t1"), LIBRARY.rulebook("default")
    assert one.scanner._layers[:2] == other.scanner._layers[:2]
    assert len(one.scanner._layers) == 3
    assert len(other.scanner._layers) == 2


def test_the_command_shows_what_takes_effect_and_from_where(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "tenants").mkdir()
    (folder / "tenants" / "t1.yaml").write_text(
        'earthflow: 1\noverrides:\n  personal.email: {mode: "off"}\n'
    )
    words = [
        "rules",
        "show",
        "--effective",
        "--tenant",
        "t1",
        "--preset",
        "default",
        "--rules",
        str(folder),
        "--only",
        "personal.email",
        "-o",
        "json",
    ]
    (row,) = json.loads(CliRunner().invoke(app, words).stdout)
    assert (row["mode"], row["overrides"]) == ("off", "tenants/t1.yaml:3")
    assert row["from"].startswith("earthflow/personal-data.yaml:")


def judged(texts: Mapping[str, str], text: str = "alpha") -> Verdict:
    book = Library({**SHIPPED, **texts}, portable=True).rulebook("default", "t1")
    return evaluate(book, Exchange(parts=(Part(text, "user", "text", 0),)))


def p_a(action: str) -> str:
    return f"earthflow: 1\noverrides: {{p.a: {{action: {action}}}}}\n"


def test_layers_stand_behind_the_files_of_their_kind_and_an_own_one_only_tightens() -> (
    None
):
    order = ["z.yaml", ALL, *sources_of("t1")]
    actions = ("block", "redact", "flag", "block", "redact", "block")
    for upto in range(1, len(order) + 1):
        said = zip(order[:upto], actions, strict=False)
        texts = {name: p_a(action) for name, action in sorted(said)}
        assert judged(texts).action == actions[upto - 1].upper()
    own = order[-1]
    assert judged({own: p_a("block")}).action == "BLOCK"
    assert judged({ALL: p_a("block"), own: p_a("flag")}).action == "BLOCK"
    # What a later file says of the same id holds, and nothing of a layer contradicts it.
    rule = "earthflow: 1\nrules:\n  - {id: p.a, action: flag, match: {keywords: gamma}}\n"  # fmt: skip
    assert judged({own: rule}).action == "FLAG"
    assert judged({own: rule}, "gamma").action == "ALLOW"


def test_what_an_own_layer_redacts_does_not_come_back() -> None:
    kept = "earthflow: 1\noverrides: {p.a: {action: redact, restore: none}}\n"
    above = "earthflow: 1\nrestore: all\nrules:\n  - {id: own.a, action: redact, match: {keywords: alpha}, priority: 900}\n"
    own = sources_of("t1")[-1]
    assert [one.value for one in judged({ALL: kept, "z.yaml": above}).restore] == ["alpha"]  # fmt: skip
    assert judged({ALL: kept, own: above}).restore == ()


def own_judged(files: str, own: str, *parts: Part) -> tuple[str, str]:
    """What becomes of a call without an own layer, and with it."""
    without = {**SHIPPED, "z.yaml": files}
    books = (Library({**without, **more}, portable=True).rulebook("default", "t1") for more in ({}, {sources_of("t1")[-1]: own}))  # fmt: skip
    before, after = (evaluate(book, Exchange(parts=parts)).action for book in books)
    return before, after


def test_an_own_layer_takes_no_score_no_owner_and_no_name_from_a_rule() -> None:
    score = "earthflow: 1\nthresholds: {odd: {block: 3}}\nrules:\n  - {id: op.sign, action: flag, score: {odd: 3}, match: {keywords: sign}}\n"
    raised = "earthflow: 1\noverrides: {op.sign: {action: redact}}\n"
    assert own_judged(score, raised, Part("a sign", "user", "document", -1)) == ("BLOCK", "BLOCK")  # fmt: skip
    allowing = "earthflow: 1\nthresholds: {odd: {flag: 1}}\nrules:\n  - {id: op.pass, action: allow, allows: [other], score: {odd: 3}, match: {keywords: sign}}\n"
    off = "earthflow: 1\noverrides: {op.pass: {mode: 'off'}}\n"
    assert own_judged(allowing, off, Part("a sign", "user", "text", 0)) == ("FLAG", "FLAG")  # fmt: skip
    refusing = "earthflow: 1\nrules:\n  - {id: op.secret, action: redact, head: refuse, match: {regex: 'key=(?P<secret>zx81-[0-9-]+)'}}\n"
    mine = "earthflow: 1\nrules:\n  - {id: a.mine, action: redact, when: {part: text}, match: {regex: 'zx81-[0-9-]+'}}\n"
    value = "zx81-1234-5678-9012"
    parts = (Part(f"key={value}", "user", "text", 0), Part(f"see {value}", "user", "document", -1))  # fmt: skip
    assert own_judged(refusing, mine, *parts) == ("BLOCK", "BLOCK")
    falcon = "earthflow: 1\nrules:\n  - {id: op.falcon, action: block, match: {regex: projectfalcon}}\n"
    named = "earthflow: 1\nrules:\n  - {id: own.projectfalcon, action: flag, match: {keywords: never}}\n"
    said = Part("hello [REDACTED:own_projectfalcon_bcdfghjk]", "user", "text", 0)
    assert own_judged(falcon, named, said) == ("BLOCK", "BLOCK")


def test_an_own_layer_holds_nobody_up() -> None:
    own = "earthflow: 1\nrules:\n  - {id: acme.zz, action: block, when: {user: x}}\n"
    files = "earthflow: 1\nrules:\n  - {id: acme.a, action: flag, match: {keywords: a}}\noverrides: {acme.*: {action: redact}}\n"
    library = Library({**SHIPPED, "z.yaml": files, sources_of("t1")[-1]: own}, portable=True)  # fmt: skip
    for preset in ("default", "strict", "monitor"):
        library.rulebook(preset, "t1")
    strict = {**SHIPPED, "earthflow/strict": "earthflow: 1\nextends: [earthflow/default]\noverrides: {p.*: {action: redact}}\n"}  # fmt: skip
    of_p = "earthflow: 1\nrules:\n  - {id: p.zz, action: block, when: {user: x}}\noverrides: {p.a: {action: block}}\n"
    book = Library({**strict, sources_of("t1")[-1]: of_p}, portable=True).written.assemble("strict", "t1")  # fmt: skip
    assert (book.rules["p.zz"].action, book.rules["p.a"].action) == ("block", "block")
