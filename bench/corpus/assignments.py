"""Ways of writing an assignment, as people and tools do: a name of a secret, and its value."""

import json
from collections.abc import Callable
from random import Random
from string import ascii_letters, digits, hexdigits

from bench.corpus.draw import words

Write = Callable[[str, str], str]
OWNERS = words(
    "acme payment mailer stripe billing internal legacy prod partner github search jira my app service db redis smtp ldap admin portal oauth s3"
)
TOKENS = words(
    "token secret api_key secret_key access_key auth_token client_secret signing_key encryption_key private_key webhook_secret jwt_secret "
    "master_key access_token refresh_token"
)
PASSWORDS = words("password passwd pwd passphrase pass")
SUFFIXES = ("", "", "_PROD", "_2", "_V2", "_DEV", "_STAGING", "_RO", "_BASE", "_EU")
SYMBOLS = "!#%*+-_@"


def named(rng: Random) -> tuple[str, str]:
    """A name in snake case, and a value that fits it."""
    if rng.random() < 0.5:
        return f"{rng.choice(OWNERS)}_{rng.choice(PASSWORDS)}", password(rng)
    letters = (ascii_letters + digits, hexdigits[:16])[rng.random() < 0.33]
    length = rng.choice((24, 32, 40, 43))
    value = "".join(rng.choices(letters, k=length - 2)) + rng.choice(digits) + "d"
    return f"{rng.choice(OWNERS)}_{rng.choice(TOKENS)}", value


def password(rng: Random) -> str:
    """As a password manager makes it."""
    size = rng.choice((10, 12, 14, 16)) - 4
    drawn = rng.choices(ascii_letters + digits * 2 + SYMBOLS, k=size)
    drawn += [*rng.choices(digits, k=2), rng.choice(ascii_letters)]
    rng.shuffle(drawn)
    return rng.choice(ascii_letters) + "".join(drawn)


def camel(name: str) -> str:
    """`db_password` as `dbPassword`."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def pascal(name: str) -> str:
    """`db_password` as `DbPassword`."""
    return "".join(map(str.capitalize, name.split("_")))


def kebab(name: str) -> str:
    """`db_password` as `db-password`."""
    return name.replace("_", "-")


def dotted(name: str) -> str:
    """`db_password` as `db.password`."""
    return name.replace("_", ".")


def suffixed(name: str) -> str:
    """In capitals, with what is often behind it."""
    return name.upper() + SUFFIXES[sum(map(ord, name)) % len(SUFFIXES)]


ENVIRONMENT: dict[str, Write] = {
    "NAME=": lambda name, value: f"{suffixed(name)}={value}",
    "export": lambda name, value: f'export {suffixed(name)}="{value}"',
    "setx": lambda name, value: f'setx {name.upper()} "{value}"',
    "PowerShell": lambda name, value: f'$env:{name.upper()} = "{value}"',
    "fish": lambda name, value: f"set -gx {name.upper()} {value}",
    "Docker ENV": lambda name, value: (
        f"FROM alpine\nENV {name.upper()} {value}\nRUN x\n"
    ),
    "docker -e": lambda name, value: f"docker run -e {name.upper()}={value} nginx",
    "compose": lambda name, value: (
        f"    environment:\n      - {name.upper()}={value}\n"
    ),
    "Kubernetes": lambda name, value: (
        f'        - name: {name.upper()}\n          value: "{value}"\n'
    ),
    "kubectl": lambda name, value: (
        f"kubectl create secret generic x --from-literal={kebab(name)}={value}"
    ),
    "Helm": lambda name, value: f"helm install x ./c --set {camel(name)}={value}",
    "CI variables": lambda name, value: f"variables:\n  {name.upper()}: {value}\n",
    "Jenkins": lambda name, value: f"environment {{\n  {name.upper()} = '{value}'\n}}",
    "Make ?=": lambda name, value: f"{name.upper()} ?= {value}\n",
    "Make :=": lambda name, value: f"{name.upper()} := {value}\n",
    "--option": lambda name, value: f"deploy --{kebab(name)} {value} --region eu",
    "--option=": lambda name, value: f"deploy --{kebab(name)}={value}",
}
FILES: dict[str, Write] = {
    "JSON": lambda name, value: json.dumps({name: value}),
    "JSON, camelCase": lambda name, value: json.dumps({camel(name): value}),
    "JSON in a string": lambda name, value: json.dumps(json.dumps({camel(name): value})),
    "YAML": lambda name, value: f"  {name}: {value}\n",
    "YAML, kebab-case": lambda name, value: f"{kebab(name)}: '{value}'\n",
    "properties": lambda name, value: f"{dotted(name)}={value}\n",
    "INI": lambda name, value: f"[x]\n{name} = {value}\n",
    "TOML": lambda name, value: f'[x]\n{name} = "{value}"\n',
    "HCL": lambda name, value: f'variable "{name}" {{\n  default = "{value}"\n}}\n',
    "Terraform state": lambda name, value: json.dumps({"outputs": {name: {"value": value, "type": "string"}}}, indent=2),
    "XML element": lambda name, value: f"<{camel(name)}>{value}</{camel(name)}>",
    "XML add": lambda name, value: f'<add key="{pascal(name)}" value="{value}" />',
    "XML property": lambda name, value: f'<property name="{dotted(name)}" value="{value}"/>',
    "XML attribute": lambda name, value: f'<server {camel(name)}="{value}" />',
    "Azure settings": lambda name, value: json.dumps({"name": name.upper(), "value": value, "slotSetting": False}),
    "SQL": lambda name, value: f"UPDATE config SET {name} = '{value}' WHERE id = 1;",
    "URL query": lambda name, value: f"https://a.example/x?{name}={value.replace('%', '5').replace('#', '6').replace('+', '7')}&y=2",
    "log": lambda name, value: f"2026-01-01 INFO loaded {name}={value} ok",
    "prose": lambda name, value: f"the {name.replace('_', ' ')} is {value}",
}  # fmt: skip
CODE: dict[str, Write] = {
    "Python": lambda name, value: f'{name} = "{value}"',
    "Python environ": lambda name, value: f'os.environ["{name.upper()}"] = "{value}"',
    "JavaScript": lambda name, value: f"const {camel(name)} = '{value}';",
    "JavaScript ??=": lambda name, value: f"process.env.{name.upper()} ??= '{value}'",
    "TypeScript": lambda name, value: (
        f"private readonly {camel(name)}: string = '{value}';"
    ),
    "Go": lambda name, value: f'{camel(name)} := "{value}"',
    "Java": lambda name, value: (
        f'private static final String {name.upper()} = "{value}";'
    ),
    "Java attribute": lambda name, value: f'@Value("${{{name}:{value}}}")',
    "setProperty": lambda name, value: (
        f'System.setProperty("{dotted(name)}", "{value}");'
    ),
    "C#": lambda name, value: (
        f'public string {pascal(name)} {{ get; set; }} = "{value}";'
    ),
    "Kotlin": lambda name, value: f'val {camel(name)}: String = "{value}"',
    "Rust": lambda name, value: f'const {name.upper()}: &str = "{value}";',
    "Ruby": lambda name, value: f":{name} => '{value}'",
    "PHP define": lambda name, value: f"define('{name.upper()}', '{value}');",
    "PHP array": lambda name, value: f"'{name}' => '{value}',",
    "Perl": lambda name, value: f"my ${name} = '{value}';",
}
ASSIGNMENTS = ENVIRONMENT | FILES | CODE
