"""Harmless documentation about security and prompt engineering: it talks about secrets and attacks, and holds none."""

from random import Random

from bench.corpus.draw import expand, lines

SECURITY: dict[str, list[str]] = {
    "h": lines("""
        ## Rotating <secret>s
        ## How we store <secret>s
        ## Threat model
        ## Prompt injection in short
        ## Writing a good system prompt
        ## Personal data and the law
        ## Checklist for <role>s
        ## Incident review of <month>
    """),
    "p": lines("""
        A <secret> must never be committed to a repository; <store> is the right place for it.
        Rotate every <secret> after <n> days, and at once when a <role> leaves.
        The variable `API_KEY` is read at start-up; the example file contains only `your-api-key-here`.
        Passwords should have at least <n> characters and be checked against lists of leaked passwords.
        Prompt injection means that text from <source> tries to change what the assistant was told to do.
        A defence in depth combines <defence>, <defence> and <defence>.
        We teach <role>s why a model should treat the content of <source> as data, not as orders.
        An attacker may hide text in <source>; therefore we use <defence> before the model reads it.
        A system prompt works best when it states the role, the limits and the format of the answer in <n> lines.
        Use `os.environ["<env>"]` or `${<env>}` rather than a literal <secret>.
        Card numbers are masked except for the last four digits, and an IBAN is never written to the log.
        Under the <law>, personal data such as an identity number needs a purpose and a retention time of <n> days.
        In our survey <n> percent of the <role>s reuse one password, which is why <defence> matters.
        Jailbreak research shows that <defence> alone stops only a part of the attempts.
        The scanner reports a <secret> by its kind and place, and does not print the value itself.
        Tokens issued by the login service expire after <n> minutes, and refresh tokens after <n> days.
    """),
    "secret": ["password", "API key", "access token", "private key", "signing secret", "database password", "recovery code"],
    "store": ["a vault", "the secret manager of the cloud provider", "an encrypted file", "the CI settings", "a hardware module"],
    "role": ["developer", "administrator", "auditor", "contractor", "analyst", "trainee", "manager", "support agent"],
    "source": ["a web page", "an e-mail", "a PDF file", "a product review", "a calendar entry", "a tool result", "an image caption"],
    "defence": [
        "output filtering", "least privilege", "input classification", "human approval", "two-factor login", "rate limits", "audit logs",
        "content provenance", "sandboxed tools", "allow lists", "canary words", "regular reviews",
    ],
    "law": ["GDPR", "Algerian law 18-07", "Swiss FADP", "Brazilian LGPD", "Quebec law 25"],
    "month": ["January", "March", "May", "June", "September", "November"],
    "env": ["API_KEY", "DB_PASSWORD", "GITHUB_TOKEN", "OPENAI_API_KEY", "STRIPE_KEY"],
    "n": [str(n) for n in range(5, 99)],
}  # fmt: skip


def security_document(rng: Random) -> str:
    """Return a Markdown page about security, privacy or prompt engineering."""
    target, out = rng.randint(500, 2400), ""
    while len(out) < target:
        out += expand(rng, SECURITY, rng.choice(SECURITY["h"])) + "\n\n"
        mark = rng.choice(["", "- "])
        sentences = rng.sample(SECURITY["p"], rng.randint(2, 5))
        out += ("\n" if mark else " ").join(
            mark + expand(rng, SECURITY, sentence) for sentence in sentences
        ) + "\n\n"
    return out.strip()
