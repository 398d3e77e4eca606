"""The AI hosts, by provider: what the proxy opens, and what no client may be led around it to."""

OPENAI = ("api.openai.com", "eu.api.openai.com", "us.api.openai.com")
ANTHROPIC = ("api.anthropic.com",)
AI_HOSTS = (*OPENAI, *ANTHROPIC)
