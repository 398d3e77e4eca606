"""The AI providers whose hosts are opened, in one tuple: the first that claims a host reads its calls."""

from addons.providers.anthropic_messages import AnthropicMessages
from addons.providers.openai_chat import OpenAIChat
from addons.providers.provider import Provider

PROVIDERS: tuple[Provider, ...] = (OpenAIChat(), AnthropicMessages())
HOSTS: dict[str, Provider] = {host: provider for provider in reversed(PROVIDERS) for host in provider.hosts}


def provider_of(host: str) -> Provider | None:
    """The provider behind a host name, or None for a host that is no AI provider's."""
    return HOSTS.get(host.lower().rstrip("."))
