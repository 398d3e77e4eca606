"""Which control a command speaks to, and as whom."""

from cli.client import Control
from cli.secrets_file import admin_key
from cli.settings import UpSettings
from cli.trouble import BAD_CONFIGURATION, Trouble


def control() -> Control:
    """Control as the admin: at EARTHFLOW_URL, or here; by EARTHFLOW_ADMIN_API_KEY, or the key that `earthflow up` keeps. Raises Trouble."""
    settings = UpSettings()
    key = admin_key(settings.state_dir, settings.admin_key.get_secret_value() if settings.admin_key else None)
    if key is None:
        raise Trouble("There is no admin key: set EARTHFLOW_ADMIN_API_KEY, or start `earthflow up` here first.", BAD_CONFIGURATION)
    return Control((settings.url or f"http://127.0.0.1:{settings.dashboard_port}").rstrip("/"), key)
