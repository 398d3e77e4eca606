"""The ways a value travels in a chat call: as prose, inside code or logs, or disguised.

Each way takes the value and an optional sentence template with ``{}`` and returns the texts of the message
parts. Only `split` returns more than one.
"""

import base64
import json
import string
from random import Random
from typing import Protocol
from urllib.parse import quote

from bench.corpus.draw import fill, lines, uuid4, words

_PROSE = lines("""
    Can you check why {} does not work?
    Here is what I use: {}
    I found {} in an old file, is it still needed?
    Please put {} into the script you wrote before.
    {} is what the console shows, what should I do with it?
    The deployment fails. We use {} and the server answers 401.
    Explain what this is: {}
    Write a client that authenticates with {} and retries on errors.
    Voici ce que j'ai dans la configuration : {} — pourquoi ça échoue ?
    Peux-tu corriger l'appel ? J'utilise {} depuis hier.
    Aquí está lo que uso: {} ¿por qué falla?
    Warum funktioniert {} nicht mehr?
    هذا ما أستعمله: {} فلماذا لا يعمل؟
    Translate the comment and keep {} as it is.
    Our colleague sent {} by mail, please document how to use it.
""")
_NAMES = words(
    "token api_key secret value cfg credential auth key data conn customer_ref record identity field x setting"
)
_SERVICES = words(
    "gateway billing-api auth worker-3 crm-sync web nginx scheduler mailer importer checkout ledger"
)
_LOOKALIKES: dict[str, str] = {
    "A": "АΑＡ", "B": "ВΒＢ", "C": "СＣ", "E": "ЕΕＥ", "H": "НΗＨ", "I": "ІΙＩ", "K": "КΚＫ", "M": "МΜＭ", "N": "ΝＮ", "O": "ОΟＯ",
    "P": "РΡＰ", "S": "ЅＳ", "T": "ТΤＴ", "X": "ХΧＸ", "Y": "ΥＹ", "Z": "ΖＺ", "J": "ЈＪ", "a": "аａ", "c": "сｃ", "d": "ԁｄ",
    "e": "еｅ", "h": "һｈ", "i": "іｉ", "j": "јｊ", "k": "κｋ", "o": "оοｏ", "p": "рｐ", "s": "ѕｓ", "v": "νｖ", "x": "хｘ", "y": "уｙ",
}  # fmt: skip
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
_INVISIBLE_NOTE = lines("""
    decode this and tell me what it says: {}
    The attachment contains {} and nothing else.
    Here is the payload we received: {}. What is inside?
    Voici le contenu encodé : {} peux-tu le lire ?
    blob = {}
    I saved it as {} to keep the formatting.
    Bitte dekodiere {} und fasse den Inhalt zusammen.
""")


class Way(Protocol):
    """A way of travelling: value and optional sentence template in, message parts out."""

    def __call__(
        self, rng: Random, value: str, context: str | None = None
    ) -> list[str]:
        """Return the texts of the message parts."""
        ...


def _sentence(rng: Random, value: str, context: str | None) -> str:
    return (context or rng.choice(_PROSE)).replace("{}", value)


def _places(rng: Random, size: int, count: int) -> set[int]:
    return set(rng.sample(range(size), min(count, size)))


def plain(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value as it is, in prose."""
    return [_sentence(rng, value, context)]


def json_escapes(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value in a JSON document that is itself text, quotes escaped and some characters as \\uXXXX."""
    chosen = _places(rng, len(value), rng.randint(1, max(1, len(value) // 3)))
    escaped = "".join(
        f"\\u{ord(char):04{rng.choice('xX')}}"
        if index in chosen and ord(char) < 0x10000
        else json.dumps(char, ensure_ascii=False)[1:-1]
        for index, char in enumerate(value)
    )
    mark = "\ue000"
    text = context.replace("{}", mark) if context else mark
    inner = json.dumps(
        {rng.choice(_NAMES): text, "id": rng.randint(1, 9999)}, ensure_ascii=False
    )
    document = inner.replace(mark, escaped)
    if rng.random() < 0.5:
        document = json.dumps(
            {"event": rng.choice(_SERVICES), "body": document}, ensure_ascii=False
        )
    return [
        rng.choice(
            ["", "Summarise this record:\n", "Parse this: ", "Réponse de l'API : "]
        )
        + document
    ]


def code(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value assigned in Python, JavaScript, Go, YAML, shell or an environment file."""
    name = rng.choice(_NAMES)
    text = context.replace("{}", value) if context else value
    quoted = json.dumps(text, ensure_ascii=False)
    shell = "'" + text.replace("'", "'\\''") + "'"
    env = quoted if " " in text or "\n" in text else text
    camel = name.split("_")[0] + "".join(part.title() for part in name.split("_")[1:])
    return [
        rng.choice(
            [
                f"```python\nimport requests\n\n{name} = {quoted}\nprint(requests.get(URL, params={{'q': {name}}}).status_code)\n```",
                f"def load():\n    {name} = {quoted}\n    return connect({name}, timeout={rng.randint(3, 60)})\n",
                f"const {camel} = {quoted};\nawait client.send({{ {camel}, retries: {rng.randint(1, 5)} }});",
                f"package main\n\nconst {camel} = {quoted}\n\nfunc main() {{ run({camel}) }}\n",
                f"service:\n  name: {rng.choice(_SERVICES)}\n  {name}: {quoted}\n  replicas: {rng.randint(1, 6)}\n",
                f"#!/bin/sh\nset -eu\nexport {name.upper()}={shell}\n./run.sh --port {rng.randint(3000, 9000)}\n",
                f"# .env\nDEBUG=false\n{name.upper()}={env}\nPORT={rng.randint(3000, 9000)}\n",
            ]
        )
    ]


def logs(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value in a log line among others."""
    text = (context.replace("{}", value) if context else value).replace("\n", "\\n")
    clock = f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    service = rng.choice(_SERVICES)
    name = rng.choice(_NAMES)
    trace = fill(rng, "{h:16}")
    level = rng.choice(["INFO", "DEBUG", "WARN", "ERROR"])
    line = rng.choice(
        [
            f"{clock}Z {level} [{service}] request failed {name}={text} status=401",
            f"[{clock}] {service}.{level}: payload {{{name}: {text}}} trace={trace}",
            f'level={level.lower()} ts={clock}Z caller={service}.go:{rng.randint(10, 400)} msg="using {name}" {name}="{text}"',
            f"{clock},{rng.randint(0, 999):03} - {service} - {level} - got {text} from upstream",
            f'{{"time":"{clock}Z","level":"{level}","request":"{uuid4(rng)}","message":{json.dumps(text, ensure_ascii=False)}}}',
        ]
    )
    before = f"{clock}Z INFO [{service}] started worker pid={rng.randint(100, 9999)}"
    after = f"{clock}Z INFO [{service}] done in {rng.randint(2, 900)} ms"
    return [
        rng.choice([line, f"{before}\n{line}\n{after}", f"Why does this fail?\n{line}"])
    ]


def split(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value cut at a random inner place into two parts."""
    sentence = context or rng.choice(_PROSE)
    before, _, after = sentence.partition("{}")
    cut = rng.randint(1, max(1, len(value) - 1))
    return [before + value[:cut], value[cut:] + after]


def _config_line(rng: Random, value: str, context: str | None) -> str:
    if context:
        return context.replace("{}", value)
    name = rng.choice(_NAMES)
    return rng.choice(
        [
            f"{name}={value}",
            f"{name}: {value}",
            f"the {name} is {value}",
            f"use {value} for the login",
            value,
        ]
    )


def base64_encoded(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value in a short sentence or configuration line, base64 encoded, inside prose."""
    data = _config_line(rng, value, context).encode()
    text = base64.b64encode(data).decode()
    style = rng.random()
    if style < 0.15:
        text = base64.urlsafe_b64encode(data).decode().rstrip("=")
    elif style < 0.3:
        text = "\n" + base64.encodebytes(data).decode()
    elif style < 0.4:
        text = "data:text/plain;base64," + text
    return [rng.choice(_INVISIBLE_NOTE).replace("{}", text)]


def zero_width(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value with zero-width characters sprinkled inside at one to four places."""
    chosen = {
        place + 1 for place in _places(rng, max(1, len(value) - 1), rng.randint(1, 4))
    }
    text = "".join(
        (rng.choice(_ZERO_WIDTH) if index in chosen else "") + char
        for index, char in enumerate(value)
    )
    return [_sentence(rng, text, context)]


def homoglyph(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value with one to four letters replaced by look-alikes, or full-width digits when it has no letters."""
    places = [index for index, char in enumerate(value) if char in _LOOKALIKES]
    out = list(value)
    if places:
        for index in rng.sample(places, min(len(places), rng.randint(1, 4))):
            out[index] = rng.choice(_LOOKALIKES[out[index]])
    else:
        places = [index for index, char in enumerate(value) if char in string.digits]
        for index in rng.sample(places, rng.randint(1, len(places)) if places else 0):
            out[index] = chr(ord(out[index]) - ord("0") + ord("０"))
    return [_sentence(rng, "".join(out), context)]


def percent(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value percent-encoded in a URL query."""
    text = quote(value, safe="")
    if text == value or rng.random() < 0.4:
        share = rng.choice([0.2, 0.5, 1.0])
        forced = _places(rng, len(value), 1)
        text = "".join(
            "".join(f"%{byte:02X}" for byte in char.encode())
            if index in forced or rng.random() < share
            else quote(char, safe="")
            for index, char in enumerate(value)
        )
    name = rng.choice(_NAMES)
    host = rng.choice(words("api.example.com app.example.org internal.example.net"))
    path = (
        f"v{rng.randint(1, 4)}/{rng.choice(words('login items users search export'))}"
    )
    url = f"https://{host}/{path}?page={rng.randint(1, 40)}&{name}={text}"
    if rng.random() < 0.5:
        url += f"&lang={rng.choice(words('en fr es de ar'))}"
    return [_sentence(rng, url, context)]


def hex_encoded(rng: Random, value: str, context: str | None = None) -> list[str]:
    """The value, alone or in a short line, hex encoded in prose."""
    data = (value if rng.random() < 0.5 else _config_line(rng, value, context)).encode()
    text = rng.choice(
        [
            data.hex(),
            data.hex(),
            data.hex().upper(),
            data.hex(" "),
            "0x" + data.hex(),
            "".join(f"\\x{b:02x}" for b in data),
        ]
    )
    return [rng.choice(_INVISIBLE_NOTE).replace("{}", text)]


WAYS: dict[str, Way] = {
    "plain": plain,
    "json_escapes": json_escapes,
    "code": code,
    "logs": logs,
    "split": split,
    "base64": base64_encoded,
    "zero_width": zero_width,
    "homoglyph": homoglyph,
    "percent": percent,
    "hex": hex_encoded,
}
