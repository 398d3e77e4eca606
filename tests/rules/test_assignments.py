"""Secrets that are assigned to a name, in the ways in which people write that: found nearly always, whatever the secret."""

import json
import re
import string
from collections.abc import Callable, Mapping
from functools import cache
from random import Random

import pytest

from bench.corpus.assignments import camel, dotted, kebab, pascal
from rules.evaluate import evaluate
from rules.exchange import Exchange, Part
from rules.redact import splice
from rules.rulebook import Rulebook
from rules.sources import shipped
from tests.support.shared import library, scaled

OWNERS = ("acme", "payment", "mailer", "billing", "internal", "legacy", "partner", "search", "app", "db", "redis", "smtp", "ldap", "admin", "s3")  # fmt: skip
NAMES = {
    "token": ("token", "secret", "api_key", "secret_key", "access_key", "auth_token", "client_secret", "signing_key", "encryption_key", "private_key", "webhook_secret", "jwt_secret"),
    "password": ("password", "passwd", "pwd", "passphrase", "pass"),
}  # fmt: skip
SUFFIXES = ("", "", "", "_PROD", "_2", "_V2", "_DEV", "_RO", "_OLD", "_EU")
LETTERS = string.ascii_letters + string.digits


def upper(name: str) -> str:
    return name.upper()


# A way of writing: how the name is spelt, and the text around name (N) and value (V).
WAYS: Mapping[str, tuple[Callable[[str], str], str]] = {
    "a shell": (upper, "export NS=V\n"),
    "a shell, quoted": (upper, 'export NS="V"'),
    ".env": (upper, "HOST=a\nNS=V\nPORT=1\n"),
    "docker run -e": (upper, "docker run -e N=V nginx"),
    "a Dockerfile": (upper, "FROM alpine\nENV N V\nRUN true\n"),
    "a Dockerfile, with =": (upper, "FROM alpine\nENV N=V\n"),
    "a Makefile's default": (upper, "N ?= V\n"),
    "a Makefile": (upper, "N := V\n"),
    "compose": (upper, "    environment:\n      - N=V\n"),
    "Kubernetes": (upper, '        - name: N\n          value: "V"\n'),
    "Kubernetes, bare": (upper, "        - name: N\n          value: V\n"),
    "variables of CI": (upper, 'variables:\n  N: "V"\n'),
    "Python": (str, "N = 'V'"),
    "Python's environment": (upper, 'os.environ["N"] = "V"'),
    "JavaScript": (camel, "const N = 'V';"),
    "JavaScript's environment": (upper, "process.env.N ??= 'V'"),
    "TypeScript": (camel, "private readonly N: string = 'V';"),
    "JSON": (camel, '{"N": "V"}'),
    "JSON inside JSON": (camel, '{\\"N\\": \\"V\\"}'),
    "JSON of names and values": (upper, '{"name": "N", "value": "V", "slotSetting": false}'),
    "YAML": (kebab, "  N: V\n"),
    "YAML, quoted": (str, "  N: 'V'\n"),
    "properties": (dotted, "N=V\n"),
    "INI": (str, "[main]\nN = V\n"),
    "TOML": (str, '[main]\nN = "V"\n'),
    "Go": (camel, 'var N string = "V"'),
    "Go, short": (camel, 'N := "V"'),
    "Go's environment": (upper, 'os.Setenv("N", "V")'),
    "Java": (upper, 'private static final String N = "V";'),
    "Java's properties": (dotted, 'System.setProperty("N", "V");'),
    "C#": (pascal, 'public string N { get; set; } = "V";'),
    "Kotlin": (camel, 'val N: String = "V"'),
    "Swift": (camel, 'let N: String = "V"'),
    "Rust": (upper, "const N: &str = \"V\";"),
    "Ruby": (str, ":N => 'V'"),
    "PHP": (upper, "define('N', 'V');"),
    "PHP, an array": (str, "'N' => 'V',"),
    "Perl": (str, "my $N = 'V';"),
    "PowerShell": (upper, '$env:N = "V"'),
    "Windows": (upper, 'setx N "V"'),
    "fish": (upper, "set -gx N V"),
    "HCL": (str, '  N = "V"\n'),
    "a variable of Terraform": (str, 'variable "N" {\n  default = "V"\n}\n'),
    "a state of Terraform": (str, '"outputs": {\n "N": {\n  "value": "V",\n  "type": "string"'),
    "Jenkins": (upper, "environment {\n  N = 'V'\n}"),
    "a parameter of Jenkins": (upper, "string(name: 'N', defaultValue: 'V')"),
    "Spring": (dotted, '@Value("${N:V}")'),
    "XML": (camel, "<N>V</N>"),
    "XML, an attribute": (pascal, '<add key="N" value="V" />'),
    "an option": (kebab, "deploy --N V --region eu"),
    "an option with =": (kebab, "deploy --N=V"),
    "kubectl": (kebab, "kubectl create secret generic x --from-literal=N=V"),
    "helm": (camel, "helm install x ./chart --set N=V"),
    "gh": (upper, "gh secret set N --body 'V'"),
    "SQL": (str, "UPDATE config SET N = 'V' WHERE id = 1;"),
    "a log": (str, "INFO loaded N=V ok"),
}  # fmt: skip
# Of such names and values, so many are found at least.
ALL = 0.99


def secret(kind: str, rng: Random) -> str:
    """A token, in letters or hexadecimal; a password, with digits in it."""
    alphabet, lengths = {
        "token": rng.choice([(LETTERS, (24, 32, 40, 43)), (LETTERS, (32, 40)), ("0123456789abcdef", (32, 40, 64))]),
        "password": (LETTERS + string.digits + "!#%*+-@", (10, 12, 14, 16)),
    }[kind]  # fmt: skip
    while True:
        made = "".join(rng.choices(alphabet, k=rng.choice(lengths)))
        if sum(map(str.isdigit, made)) >= 2 and made[0].isalnum() and made[-1].isalnum():  # fmt: skip
            return made


@cache
def book() -> Rulebook:
    return library(shipped()).rulebook("default")


def is_left(text: str, value: str) -> bool:
    """Whether a value stays readable, or its end does."""
    verdict = evaluate(book(), Exchange(parts=(Part(text, "tool", "tool_result", 0),)), key=b"k")  # fmt: skip
    kept = json.loads(splice(json.dumps([text]).encode(), verdict.edits))[0]
    return verdict.action != "BLOCK" and (value in kept or value[-8:] in kept)


def missed(way: str, kind: str, rng: Random) -> str | None:
    """A text in which a secret stays."""
    spell, template = WAYS[way]
    name = f"{rng.choice(OWNERS)}_{rng.choice(NAMES[kind])}"
    value = secret(kind, rng)
    put = {"N": spell(name), "NS": spell(name) + rng.choice(SUFFIXES), "V": value}
    text = re.sub(r"\b(NS|N|V)\b", lambda found: put[found[0]], template)
    return text if is_left(text, value) else None


@pytest.mark.parametrize("seed", range(scaled(1)))
def test_what_is_assigned_is_found(seed: int) -> None:
    rng, left, tried = Random(seed), {}, 0
    for way in WAYS:
        for kind in NAMES:
            texts = [missed(way, kind, rng) for _ in range(6)]
            tried += len(texts)
            left[way, kind] = [text for text in texts if text is not None]
    total = sum(map(len, left.values()))
    assert total <= (1 - ALL) * tried, {k: v for k, v in left.items() if v}


@pytest.mark.parametrize(
    "text",
    [
        "next_page_token = 'CAUQAA4aLgt5lOoGsS9b1ftX18sano'",
        "publicKey: '4aLgt5lOoGsS9b1ftX18sano71NRtitZMwEY7sBY'",
        "cacheKey = `linux-node-20-4aLgt5lOoGsS9b1ftX18`",
        "secretKey: db-password-2024",
        "private_key: x25519.X25519PrivateKey",
        "class OAuth1ServerRequestTokenHandler(Handler): pass",
        'parser.add_argument("--api-key", default=os.environ.get("API_KEY_1"))',
        '"local all all md5", "password", "scram-sha-256"',
        "max_tokens: 4096, prompt_token_count = 1234567890123456",
        "tokenizer = AutoTokenizer.from_pretrained('gpt2-medium-v1.5-large')",
        "password_hash = hash_password(form.password2)",
        "if (!user.password1) throw new Error('password1 is required')",
    ],
)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    part = Part(text, "tool", "tool_result", 0)
    assert evaluate(book(), Exchange(parts=(part,)), key=b"k").edits == ()
