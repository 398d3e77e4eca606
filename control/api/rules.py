"""`/v1/rules`: the operator's rules as they take effect, for a backup."""

from aiohttp import web

from control import auth
from control.errors import answer
from control.state import STATE
from rules.load import PRESETS, shipped


async def export(request: web.Request) -> web.Response:
    """The rule files that are not Earthflow's own, by name, and the version that proxies judge by. Admin only."""
    await auth.admin(request)
    state = request.app[STATE]
    own = {name: text for name, text in state.rules.items() if name not in shipped()}
    return answer({"version": state.rules_hash, "presets": list(PRESETS), "files": own, "complaint": state.rules_complaint or None})
