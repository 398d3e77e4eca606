"""Which control a command uses, and with which key: by --context, else the environment,
else the context in use, else this machine.
"""

import ssl

from cli.client import Control
from cli.context import chosen
from cli.errors import AUTHENTICATION, BAD_CONFIGURATION, CommandError
from cli.secrets_file import admin_key
from cli.settings import UpSettings

said: list[str] = []  # the value of --context


def control() -> Control:
    """Control with one key.

    URL, key and CA come from one source: a key is sent nowhere else. Raises
    CommandError.
    """
    settings = UpSettings()
    named = said[-1] if said else settings.context
    if named is not None or settings.url is None:
        context = chosen(named)
        if context is not None and (
            named is not None or not (settings.admin_key or settings.api_key)
        ):
            return _of(context.url, context.key, context.ca)
    key = settings.admin_key or settings.api_key
    secret = key.get_secret_value() if key else None
    if secret is None and settings.url is None:
        secret = admin_key(settings.state_dir, None)
    ca = str(settings.proxy_ca) if settings.proxy_ca else None
    return _of(
        settings.url or f"http://127.0.0.1:{settings.dashboard_port}", secret, ca
    )


def _of(url: str, key: str | None, ca: str | None) -> Control:
    if not key:
        raise CommandError(
            "There is no key: set EARTHFLOW_ADMIN_API_KEY, give one to `earthflow context add`, sign in by `earthflow login`, "
            "or start `earthflow up` here first.",
            AUTHENTICATION,
        )
    return with_key(url, key, ca)


def with_key(url: str, key: str, ca: str | None) -> Control:
    """An Earthflow's control, with this key, which may be none for what anybody may ask. Raises CommandError."""
    try:
        tls = ssl.create_default_context(cafile=ca) if ca else None
    except OSError as error:
        raise CommandError(
            f"{ca} cannot be used as a CA: {error}", BAD_CONFIGURATION
        ) from None
    return Control(url.rstrip("/"), key, tls)
