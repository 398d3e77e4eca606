"""`/v1/settings`: which settings this control has, and where each is from; secrets as stars."""

import msgspec
from aiohttp import web

from contract.setting_report import told_of
from control.errors import answer
from control.state import STATE


class SettingView(msgspec.Struct, rename={"source": "from"}):
    """A setting as it would be written in the environment, and where it is `from`: environment, or default."""

    name: str
    value: str
    source: str


class SettingsInForce(msgspec.Struct):
    """All settings of control."""

    settings: list[SettingView]


async def every(request: web.Request) -> web.Response:
    """The settings in force of the control that answers. Secrets are stars."""
    told = told_of(request.app[STATE].settings)
    shown = [SettingView(one["name"], one["value"], one["from"]) for one in told]
    return answer(SettingsInForce(shown))
