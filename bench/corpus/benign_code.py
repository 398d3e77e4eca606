"""Harmless source code, configuration with placeholder secrets, diffs and stack traces."""

import json
from random import Random

from bench.corpus.draw import chars, expand, fill, words

_NOUNS = words(
    "order invoice user cart item report event message job page product session booking ticket payment shipment node batch"
)
_VERBS = words(
    "load save build render parse fetch update count merge validate sort filter send collect export compute resolve normalize"
)
_FIELDS = words(
    "name total count status price created_at updated_at weight title country quantity position score label kind size"
)
_PLACEHOLDERS = [
    "your-api-key-here",
    "changeme",
    "<YOUR_TOKEN>",
    "xxxxxxxxxxxx",
    "REPLACE_ME",
    "${API_KEY}",
    "{{ vault_password }}",
    "<password>",
    "********",
    "TODO",  # what people write where a secret will stand; sample text
]
_ENVIRONMENT = words(
    "API_KEY DATABASE_URL SECRET_KEY OPENAI_API_KEY GITHUB_TOKEN SMTP_PASSWORD AWS_SECRET_ACCESS_KEY SENTRY_DSN REDIS_URL"
)


def _grow(rng: Random, parts: list[str], joint: str = "\n\n") -> str:
    """Join random parts until the text is long enough."""
    target, out = rng.randint(400, 2300), ""
    while len(out) < target:
        out += _code(rng, rng.choice(parts)) + joint
    return out.rstrip()


def _code(rng: Random, template: str) -> str:
    grammar = {
        "noun": _NOUNS,
        "verb": _VERBS,
        "field": _FIELDS,
        "ph": _PLACEHOLDERS,
        "env": _ENVIRONMENT,
        "n": [str(n) for n in range(1, 240)],
        "op": words("> < >= <= == !="),
        "type": words("str int float bool bytes"),
        "go": words("string int64 float64 bool time.Time"),
        "sql": words("INTEGER TEXT NUMERIC(10,2) TIMESTAMP BOOLEAN UUID"),
    }
    return expand(rng, grammar, template)


def python_code(rng: Random) -> str:
    """Return a Python module; secrets come from the environment or are placeholders."""
    parts = [
        "def <verb>_<noun>(<noun>: dict[str, <type>], limit: int = <n>) -> list[<type>]:\n"
        '    """Return the <field> of each <noun>."""\n'
        "    rows = [row for row in <noun>.values() if row <op> <n>]\n"
        '    logger.info("<verb> %d <noun>s", len(rows))\n    return rows[:limit]',
        '<env> = os.environ["<env>"]\nTIMEOUT = <n>',
        'api_key = os.getenv("<env>", "<ph>")\nclient = Client(api_key=api_key, timeout=<n>)',
        "@dataclass(frozen=True)\nclass <noun>Record:\n    <field>: <type>\n"
        "    <field>_<noun>: <type> | None = None\n    <noun>_id: int = <n>",
        "async def <verb>_all(session: Session) -> int:\n"
        "    result = await session.execute(select(<noun>).where(<noun>.c.<field> <op> <n>))\n"
        "    return sum(1 for _ in result)",
        'password = getpass.getpass("Password: ")\nif not verify(password, row.password_hash):\n'
        '    raise PermissionError("wrong password")',
        "def test_<verb>_<noun>() -> None:\n    assert <verb>_<noun>({'<field>': <n>}) == [<n>]\n    assert <verb>_<noun>({}) == []",
    ]
    return (
        "import logging\nimport os\n\nlogger = logging.getLogger(__name__)\n\n\n"
        + _grow(rng, parts, "\n\n\n")
    )


def javascript_code(rng: Random) -> str:
    """Return JavaScript or TypeScript source."""
    parts = [
        "export async function <verb>Item(<noun>, options = {}) {\n  const response = await fetch(`/api/<noun>s/${<noun>.id}?limit=<n>`);\n"
        "  if (!response.ok) throw new Error(`<verb> failed: ${response.status}`);\n  return response.json();\n}",
        "const <noun>Total = <noun>s.filter((x) => x.<field> <op> <n>).reduce((sum, x) => sum + x.<field>, 0);",
        'const apiKey = process.env.<env> ?? "<ph>";\nexport const client = createClient({ apiKey, retries: <n> });',
        "interface <noun>Props {\n  <field>: string;\n  <field>2: number;\n  on<verb>: (value: string) => void;\n}",
        'describe("<verb> <noun>", () => {\n  it("returns <n> rows", () => {\n    expect(<verb>(<n>)).toHaveLength(<n>);\n  });\n});',
        '<input type="password" name="password" placeholder="<ph>" autocomplete="current-password" minlength="<n>" />',
    ]
    return _grow(rng, parts)


def minified_javascript(rng: Random) -> str:
    """Return one long line of minified JavaScript."""
    parts = [
        "function {z:1}({z:1},{z:1}){return {z:1}.{z:2}(<n>)?{z:1}+<n>:void 0}",
        "var {z:1}=function(t){return t&&t.__esModule?t:{default:t}}({z:1}(<n>)),",
        '!function(e,{z:1}){"object"==typeof exports?module.exports={z:1}():e.<noun>={z:1}()}(this,(function(){return {z:1}[{d:4}]}));',
        "{z:1}.prototype.<verb>=function({z:1}){for(var e=0,n={z:1}.length;e<n;e++)this.{z:2}[e]^={z:1}[e]>>>{d:1}&0x{h:8};return this},",
        '{z:1}.exports={{z:3}:"<noun>-{h:8}",{z:3}:"{a:5}_{a:5}",{z:2}:[{d:3},{d:2},.{d:2}]},',
        "const {z:2}=({z:1},{z:1})=>{z:1}?.{z:1}??{z:1}[{z:1}+<n>]||[],",
    ]
    return _grow(rng, [part.replace("e<n;", "e!==n;") for part in parts], "") + fill(
        rng, "\n//# sourceMappingURL=main.{h:8}.js.map"
    )


def go_code(rng: Random) -> str:
    """Return Go source."""
    parts = [
        "// <verb>Records returns the <noun>s whose <field> is at least min.\n"
        "func <verb>Records(ctx context.Context, min int) ([]<noun>, error) {\n"
        '\trows, err := db.QueryContext(ctx, "SELECT <field> FROM <noun>s WHERE <field> > $1 LIMIT <n>", min)\n'
        '\tif err != nil {\n\t\treturn nil, fmt.Errorf("<verb> <noun>: %w", err)\n\t}\n\tdefer rows.Close()\n\treturn scan(rows)\n}',
        'type <noun>Row struct {\n\t<field> <go> `json:"<field>"`\n\t<noun>ID <go> `json:"<noun>_id,omitempty"`\n}',
        'token := os.Getenv("<env>")\nif token == "" {\n\tlog.Fatal("<env> is not set")\n}',
        'func Test<verb>(t *testing.T) {\n\tif got := <verb>(<n>); got != <n> {\n\t\tt.Errorf("got %d", got)\n\t}\n}',
    ]
    return "package main\n\n" + _grow(rng, parts)


def sql_code(rng: Random) -> str:
    """Return SQL statements."""
    parts = [
        "CREATE TABLE <noun>s (\n  id BIGSERIAL PRIMARY KEY,\n  <field> <sql> NOT NULL,\n  <field>_old <sql>,\n  password_hash TEXT\n);",
        "SELECT n.<field>, COUNT(*) AS total, AVG(o.<field>) FROM <noun>s n\nJOIN <noun>_lines o ON o.<noun>_id = n.id\n"
        "WHERE o.<field> <op> <n> AND n.created_at > now() - interval '<n> days'\nGROUP BY 1 ORDER BY 2 DESC LIMIT <n>;",
        "UPDATE <noun>s SET <field> = <field> + <n> WHERE id IN (<n>, <n>, <n>);",
        "CREATE INDEX idx_<noun>_<field> ON <noun>s (<field>, created_at);",
        "-- the password comes from the environment\nALTER ROLE app_<noun> WITH PASSWORD :'password';",
    ]
    return _grow(rng, parts)


def configuration(rng: Random) -> str:
    """Return YAML, Terraform, compose or .env.example text in which every secret is a placeholder."""
    parts = [
        "  <noun>-<verb>:\n    image: registry.example.com/<noun>:<n>.<n>\n    environment:\n      <env>: ${<env>}\n      LOG_LEVEL: info\n"
        '    ports:\n      - "8<n>:80"',
        'resource "aws_instance" "<noun>" {\n  instance_type = "t3.small"\n  count         = <n>\n  tags = { Name = "<noun>-<verb>" }\n}',
        'variable "<noun>_password" {\n  type      = string\n  sensitive = true\n  default   = "<ph>"\n}',
        "<env>=<ph>\n<env>_TIMEOUT=<n>\nPASSWORD=changeme\n",
        "      - name: <verb> <noun>\n        run: make <verb>\n        env:\n          <env>: ${{ secrets.<env> }}",
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: <noun>-<verb>\ndata:\n  <field>: "<n>"\n  replicas: "<n>"',
        "        - name: <env>\n          valueFrom:\n            secretKeyRef:\n"
        "              name: <noun>-secret\n              key: password",
        "DATABASE_URL=postgres://user:password@localhost:5432/<noun>s\nAPI_KEY=your-api-key-here",
    ]
    return _grow(rng, parts, "\n")


def git_diff(rng: Random) -> str:
    """Return a git log entry with its diff."""
    head = fill(
        rng,
        "commit {h:40}\nMerge: {h:7} {h:7}\nDate:   Tue Mar 1{d:1} 1{d:1}:2{d:1}:0{d:1} 2026 +0100\n\n",
    )
    parts = [
        "diff --git a/src/<noun>/<verb>.py b/src/<noun>/<verb>.py\nindex {h:7}..{h:7} 100644\n--- a/src/<noun>/<verb>.py\n"
        "+++ b/src/<noun>/<verb>.py\n@@ -<n>,7 +<n>,8 @@ def <verb>_<noun>(rows):\n     total = <n>\n-    return rows[:<n>]\n"
        "+    <field> = rows[<n>]\n+    return <field>\n",
        "diff --git a/package-lock.json b/package-lock.json\nindex {h:9}..{h:9} 100644\n@@ -<n>,3 +<n>,3 @@\n"
        '-      "version": "<n>.<n>.0",\n-      "integrity": "sha512-{b:86}==",\n+      "version": "<n>.<n>.1",\n'
        '+      "integrity": "sha512-{b:86}==",\n',
        "diff --git a/go.sum b/go.sum\nindex {h:7}..{h:7} 100644\n@@ -<n>,2 +<n>,2 @@\n"
        "-github.com/<noun>/<verb> v1.<n>.0 h1:{b:43}=\n+github.com/<noun>/<verb> v1.<n>.1 h1:{b:43}=\n",
    ]
    return (
        head
        + _code(rng, "    <verb> the <noun> <field> (#<n>)\n\n")
        + _grow(rng, parts, "")
    )


def stack_trace(rng: Random) -> str:
    """Return a stack trace of Python, Java or Node with the question of its author."""
    python = [
        '  File "/srv/app/<noun>/<verb>.py", line <n>, in <verb>_<noun>\n    return <verb>(<noun>, <field>=<n>)'
    ]
    java = [
        "\tat com.example.<noun>.<verb>Service.<verb>(<noun>Service.java:<n>)",
        "\tat java.base/java.lang.Thread.run(Thread.java:<n>)",
    ]
    node = [
        "    at <verb>Item (/app/dist/<noun>.js:<n>:<n>)",
        "    at async Promise.all (index <n>)",
        "    at <noun>.<verb> (node:internal/<noun>:<n>:<n>)",
    ]
    head, frames, tail = rng.choice(
        [
            ("Traceback (most recent call last):\n", python, "KeyError: '<field>'"),
            (
                'Exception in thread "main" java.lang.IllegalStateException: <noun> {h:8} has no <field>\n',
                java,
                "Caused by: java.io.IOException",
            ),
            (
                "TypeError: Cannot read properties of undefined (reading '<field>')\n",
                node,
                "Node.js v22.<n>.0",
            ),
        ]
    )
    question = rng.choice(
        [
            "Why does this happen?",
            "Any idea what is wrong here?",
            "Pourquoi cette erreur ?",
            "It started after the upgrade.",
        ]
    )
    body = "\n".join(_code(rng, rng.choice(frames)) for _ in range(rng.randint(6, 18)))
    return f"{question}\n\n{_code(rng, head)}{body}\n{_code(rng, tail)}"


def notebook_cell(rng: Random) -> str:
    """Return a Jupyter cell as JSON."""
    source = python_code(rng).splitlines(keepends=True)[:30]
    cell = {
        "cell_type": "code",
        "execution_count": rng.randint(1, 90),
        "id": chars(rng, "0123456789abcdef", 8),
        "metadata": {},
        "source": source,
    }
    return json.dumps({"cells": [cell], "nbformat": 4}, indent=1)
