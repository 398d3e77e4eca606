"""Which control a command speaks to, and as whom: by --context, else the environment, else the context in use, else this machine."""

import ssl

from cli.client import Control
from cli.context import Context, chosen
from cli.secrets_file import admin_key
from cli.settings import UpSettings
from cli.trouble import AUTHENTICATION, BAD_CONFIGURATION, Trouble

said: list[str] = []  # what --context named


def control() -> Control:
    """Control as whoever the key is. Raises Trouble."""
    settings, context = UpSettings(), chosen(said[-1] if said else None)
    if said and context is not None:
        return _of(context, context.url, context.key)
    own = context is None and settings.url is None  # then the key that `earthflow up` keeps is the right one
    key = settings.admin_key or settings.api_key
    secret = key.get_secret_value() if key else context.key if context else None
    if secret is None and own:
        secret = admin_key(settings.state_dir, None)
    url = settings.url or (context.url if context else f"http://127.0.0.1:{settings.dashboard_port}")
    return _of(context, url, secret)


def _of(context: Context | None, url: str, key: str | None) -> Control:
    if not key:
        raise Trouble(
            "There is no key: set EARTHFLOW_ADMIN_API_KEY, give one to `earthflow context add`, or start `earthflow up` here first.",
            AUTHENTICATION,
        )
    ca = context.ca if context and context.ca else UpSettings().proxy_ca
    try:
        tls = ssl.create_default_context(cafile=str(ca)) if ca else None
    except OSError as error:
        raise Trouble(f"{ca} cannot be used as a CA: {error}", BAD_CONFIGURATION) from None
    return Control(url.rstrip("/"), key, tls)
