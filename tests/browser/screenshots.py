"""`make screenshots`: each view in the light, in the dark, on a phone and in Arabic, with a day of made traffic and empty.

They are for looking at, one by one; the best go into docs/images.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from cli import sample_traffic
from tests.browser.looking import DESK, PHONE, sign_in
from tests.support.house import AWS_KEY, RESTRICTED, House, message

VIEWS = {
    "now": "/", "decisions": "/decisions?range=24h", "decision": "/decisions/{id}", "panel": "/decisions?status=BLOCK&panel={id}", "fix": "/decisions/{id}/fix",
    "rules": "/rules", "layer": "/rules/layers/all", "tenants": "/tenants", "tenant": "/tenants/sample-acme", "staff": "/staff", "audit": "/audit",
    "quarantine": "/audit/quarantine", "delivery": "/delivery", "system": "/system", "clients": "/clients", "account": "/account",
}  # fmt: skip
LOOKS = {
    "light": (DESK, "light", "en"), "dark": (DESK, "dark", "en"), "phone": (PHONE, "light", "en"), "arabic": (DESK, "light", "ar"),
}  # fmt: skip


def main(folder: Path) -> None:
    """Take all of them."""
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("There is no chromium here: apt install chromium")
    with House({"AUDIT_HASH_PROMPTS": "false"}) as house, sync_playwright() as playwright:  # fmt: skip
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])  # fmt: skip
        for content in ("empty", "full"):
            id = _filled(house) if content == "full" else "none"
            for look, (size, scheme, language) in LOOKS.items():
                context = browser.new_context(
                    viewport=size,  # type: ignore[arg-type]
                    color_scheme=scheme,  # type: ignore[arg-type]
                    base_url=house.stack.control.url,
                    extra_http_headers={"Accept-Language": language},
                )
                page = context.new_page()
                page.goto("/sign-in")
                page.screenshot(path=folder / f"sign-in-{look}.png")
                sign_in(page, house)
                _take(page, folder, f"{look}-{content}", id)
                context.close()
        browser.close()


def _filled(house: House) -> str:
    """A day of made traffic and some real calls; the id of a blocked one."""
    sample_traffic.give(house.stack.control)
    tenant = house.tenant(id="laptop")
    for text in ("hello", f"my key is {AWS_KEY}", RESTRICTED):
        tenant.post(message(text))
    house.stack.control.post("/v1/tenants/laptop/webhooks", {"url": "https://hooks.invalid/earthflow"})  # fmt: skip
    house.stack.control.post("/v1/rules/layers/all", {"text": "earthflow: 1\noverrides:\n  personal.email: {mode: monitor}\n", "reason": "too loud at first"})  # fmt: skip
    rows = tenant.audit(3)
    return next(row["id"] for row in rows if row["status"] == "BLOCK")


def _take(page: Page, folder: Path, name: str, id: str) -> None:
    for view, path in VIEWS.items():
        if "{id}" in path and id == "none":
            continue
        page.goto(path.format(id=id))
        whole = view != "panel"  # which keeps its place on the screen
        page.screenshot(path=folder / f"{view}-{name}.png", full_page=whole)
        print(f"\r{view}-{name}{' ' * 20}", end="", flush=True)


if __name__ == "__main__":
    there = Path(sys.argv[1])
    there.mkdir(parents=True, exist_ok=True)
    main(there)
    print(f"\r{there}{' ' * 30}")
