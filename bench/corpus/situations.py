"""What agents send: whole files with a few secrets in them, each as such a file has them."""

import json
from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from bench.corpus.assignments import named, password
from bench.corpus.benign_code import git_diff, minified_javascript, python_code
from bench.corpus.benign_data import log_lines

SECRETS = 4  # in each file


class File(NamedTuple):
    """A file, and the secrets in it."""

    text: str
    secrets: list[str]


def dotenv(rng: Random) -> File:
    """Variables, most of which are no secret."""
    found = [named(rng) for _ in range(SECRETS)]
    lines = [
        "NODE_ENV=production",
        "PORT=8080",
        "LOG_LEVEL=info",
        "REGION=eu-central-1",
    ]
    lines += [f"{name.upper()}={value}" for name, value in found]
    rng.shuffle(lines)
    return File("# of the shop\n" + "\n".join(lines) + "\n", [value for _, value in found])  # fmt: skip


def kubeconfig(rng: Random) -> File:
    """A cluster's users: tokens, a password, a key in base64."""
    token = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=40))
    word = password(rng)
    key = b64encode(b"-----BEGIN RSA PRIVATE KEY-----\n" + rng.randbytes(600).hex().encode()).decode()  # fmt: skip
    text = (
        "apiVersion: v1\nkind: Config\nclusters:\n- name: prod\n  cluster: {server: https://k8s.example:6443}\nusers:\n"
        f"- name: ci\n  user:\n    token: {token}\n- name: ops\n  user:\n    username: ops\n    password: {word}\n"
        f"- name: admin\n  user:\n    client-key-data: {key}\n"
    )
    return File(text, [token, word, key])


def tfstate(rng: Random) -> File:
    """Attributes of resources, and outputs."""
    found = [named(rng) for _ in range(SECRETS)]
    half = SECRETS // 2
    resources = [
        {"type": "aws_db_instance", "instances": [{"attributes": {"id": f"db-{n}", "port": 5432, name: value}}]}
        for n, (name, value) in enumerate(found[:half])
    ]  # fmt: skip
    outputs = {name: {"value": value, "type": "string", "sensitive": True} for name, value in found[half:]}  # fmt: skip
    state = {"version": 4, "resources": resources, "outputs": outputs}
    values = [value for _, value in found[:half]] + [one["value"] for one in outputs.values()]  # fmt: skip
    return File(json.dumps(state, indent=2), [str(value) for value in values])


def notebook(rng: Random) -> File:
    """Cells of code; a notebook is JSON, so its lines are escaped."""
    found = [named(rng) for _ in range(SECRETS)]
    cells = [
        {"cell_type": "code", "source": [f'{name} = "{value}"\n', python_code(rng)[:400]], "outputs": []}
        for name, value in found
    ]  # fmt: skip
    return File(json.dumps({"cells": cells, "nbformat": 4}, indent=1), [v for _, v in found])  # fmt: skip


def diff(rng: Random) -> File:
    """Lines that a change takes out and puts in."""
    found = [named(rng) for _ in range(SECRETS)]
    lines = [f'{"-+"[n % 2]}    {name}: "{value}",' for n, (name, value) in enumerate(found)]  # fmt: skip
    text = f"{git_diff(rng)}\n--- a/config.js\n+++ b/config.js\n@@ -1,9 +1,9 @@\n" + "\n".join(lines)  # fmt: skip
    return File(text, [value for _, value in found])


def log(rng: Random) -> File:
    """Requests with their headers and queries."""
    token = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=40))
    word = password(rng)
    text = (
        f"{log_lines(rng)}\n2026-11-29 10:00:01 DEBUG > Authorization: Bearer {token}\n{log_lines(rng)}\n"
        f"2026-11-29 10:00:02 ERROR login failed password={word} user=ops\n{log_lines(rng)}"
    )
    return File(text, [token, word])


def sql_dump(rng: Random) -> File:
    """Settings in rows, and roles with their passwords."""
    (name, value), word = named(rng), password(rng).replace("'", "x")
    text = (
        "CREATE TABLE settings (id integer, name text, value text);\n"
        f"INSERT INTO settings (id, name, value) VALUES (1, '{name}', '{value}');\n"
        f"ALTER ROLE shop WITH LOGIN PASSWORD '{word}';\n"
    )
    return File(text, [value, word])


def minified(rng: Random) -> File:
    """One line of a bundle."""
    found = [named(rng) for _ in range(2)]
    inside = ",".join(f'{name}:"{value}"' for name, value in found)
    code = minified_javascript(rng)
    return File(f"{code}var c={{{inside}}};{code}", [value for _, value in found])


SITUATIONS: dict[str, Callable[[Random], File]] = {
    ".env": dotenv,
    "kubeconfig": kubeconfig,
    "Terraform state": tfstate,
    "notebook": notebook,
    "diff": diff,
    "log": log,
    "SQL dump": sql_dump,
    "minified code": minified,
}
