"""The JSON Schema of rule files, for editors, made from the words that the reader
knows.
"""

from dataclasses import fields
from typing import Any, get_args

from rules.commands.spec import CommandSpec
from rules.likeness import MODELS
from rules.model import (
    Action,
    Confidence,
    Head,
    History,
    Mode,
    Restore,
    Severity,
)
from rules.source.document import MAX_VALUES, NAME
from rules.source.matches import MAX_PATTERN
from rules.source.rule import RULE_ID
from rules.source.when import GLOBS, SIZE, TOKENS, WORDS
from rules.sources import detectors
from rules.validators import names

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_RESTORE: Schema = {
    "enum": list(get_args(Restore)),
    "description": "where an answer gets back what was replaced in its call",
}
_EXCEPT: Schema = {
    "anyOf": [
        {"$ref": "#/$defs/except"},
        {"type": "array", "items": {"$ref": "#/$defs/except"}},
    ]
}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}


def schema() -> Schema:
    """A schema in draft 2020-12."""
    threshold = _object({"flag": _whole(1, 1000), "block": _whole(1, 1000)})
    properties: Schema = {
        "earthflow": {"const": 1, "description": "the version of the language"},
        "name": _TEXT,
        "extends": {
            "type": "array",
            "items": _TEXT,
            "description": "files to build on, left to right",
        },
        "lists": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": _several(_SCALAR),
        },
        "thresholds": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": threshold,
        },
        "history": _choice(
            get_args(History), "what to do with findings in what was said before"
        ),
        "restore": _RESTORE,
        "rules": {"type": "array", "items": _rule()},
        "overrides": {
            "type": "object",
            "additionalProperties": _object(
                {
                    **_patch(),
                    "direction": _choice(WORDS["direction"]),
                    "restore": _RESTORE,
                    "except": _EXCEPT,
                }
            ),
        },
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Earthflow rules",
        **_object(properties, required=("earthflow",)),
        "$defs": {"match": _match(), "except": _except(), "when": _when()},
    }


def _rule() -> Schema:
    properties = {
        "id": {"type": "string", "pattern": f"^{RULE_ID.pattern}$"},
        "message": {
            **_TEXT,
            "description": "the reason, as callers and the audit see it",
        },
        **_patch(),
        "when": {
            "$ref": "#/$defs/when",
            "description": "the context: all fields must hold",
        },
        "match": {
            "anyOf": [
                {"$ref": "#/$defs/match"},
                {"type": "array", "items": {"$ref": "#/$defs/match"}, "minItems": 1},
            ]
        },
        "except": _EXCEPT,
        "redact": _object(
            {"with": _TEXT, "restore": {"anyOf": [_RESTORE, {"type": "boolean"}]}}
        ),
        "score": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": _whole(1, 10),
            "minProperties": 1,
        },
        "allows": _several(_TEXT),
        "expires": {"type": "string", "format": "date"},
        "tests": {"type": "array", "items": _test()},
        "tags": _several(_TEXT),
        "links": _several(_TEXT),
    }
    return _object(properties, required=("id",))


def _patch() -> Schema:
    return {
        "severity": _choice(get_args(Severity)),
        "action": _choice(get_args(Action)),
        "mode": _choice(
            get_args(Mode), "monitor: say what the rule would do, and do nothing"
        ),
        "priority": _whole(0, 1000),
        "head": _choice(
            get_args(Head),
            "what a finding in a call's head does: flag, refuse, or always refuse, "
            "even where a credential belongs",
        ),
    }


def _match() -> Schema:
    checks: Schema = {
        "near": _several(_TEXT),
        "within": _whole(0, 400),
        "entropy": {"type": "number", "minimum": 0, "maximum": 8},
        "validate": {
            "anyOf": [
                {"enum": sorted(names())},
                {"type": "string", "pattern": "^phone\\.[A-Z]{2}$"},
            ]
        },
        "count": _whole(1, 100),
    }
    detector = {
        "detector": {"enum": sorted(detectors())},
        "min_confidence": _choice(get_args(Confidence)),
    }
    one: Schema = {"$ref": "#/$defs/match"}
    many: Schema = {"type": "array", "items": one, "minItems": 1}
    return {
        "oneOf": [
            _object(
                {"regex": {**_TEXT, "maxLength": MAX_PATTERN}, **checks},
                required=("regex",),
            ),
            _object({"keywords": _several(_TEXT), **checks}, required=("keywords",)),
            _object({**detector, **checks}, required=("detector",)),
            _object(
                {
                    "reads_like": _choice(MODELS),
                    "min_score": {"type": "number", "minimum": 0, "maximum": 1},
                },
                required=("reads_like",),
            ),
            _object({"command": _command()}, required=("command",)),
            *(_object({how: many}, required=(how,)) for how in ("all", "any")),
            _object({"not": one}, required=("not",)),
        ]
    }


def _command() -> Schema:
    words = _several(_TEXT)
    return _object({field.name: words for field in fields(CommandSpec)})


def _when() -> Schema:
    clause: Schema = {"$ref": "#/$defs/when"}
    fields: Schema = {
        name: _several({"enum": list(words)})
        for name, words in WORDS.items()
        if name != "stream"
    }
    fields |= {name: _several(_SCALAR) for name in GLOBS}
    fields |= {
        "stream": {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}]},
        "size": {"type": "string", "pattern": f"^{SIZE.pattern}$"},
        "tokens": {"type": "string", "pattern": f"^{TOKENS.pattern}$"},
        "time": _several(_TEXT),
        "any": {"type": "array", "items": clause},
        "all": {"type": "array", "items": clause},
        "not": clause,
    }
    return _object(fields)


def _except() -> Schema:
    properties = {
        "values": _several(_SCALAR),
        "regex": _TEXT,
        "keywords": _several(_TEXT),
        "near": _whole(0, 400),
        "when": {"$ref": "#/$defs/when"},
        "hashes": _several({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
        "tests": {"type": "array", "items": _test()},
        "from": _TEXT,
    }
    subjects = ("values", "regex", "keywords", "hashes", "when")
    return {
        **_object(properties),
        "anyOf": [{"required": [key]} for key in subjects],
    }


def _test() -> Schema:
    sample: Schema = {
        "anyOf": [_SCALAR, {"type": "object", "additionalProperties": _SCALAR}]
    }
    return {
        "oneOf": [
            _object({kind: sample, "redacted": _SCALAR}, required=(kind,))
            for kind in ("match", "ok")
        ]
    }


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


def _several(one: Schema) -> Schema:
    return {
        "anyOf": [
            one,
            {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_VALUES},
        ]
    }


def _choice(words: tuple[str, ...], description: str = "") -> Schema:
    return {
        "enum": list(words),
        **({"description": description} if description else {}),
    }


def _whole(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}
