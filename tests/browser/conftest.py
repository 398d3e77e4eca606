"""These need `chromium` (Debian's package). Where it is not, they are not collected; CI installs it and says that it did."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.house import House
from tests.support.identity_provider import CLIENT, SECRET, IdentityProvider
from tests.support.ports import free_ports

collect_ignore_glob = (
    []
    if os.environ.get("EARTHFLOW_TOOLS") or shutil.which("chromium")
    else ["test_*.py"]
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser, without a window. For one module: meanwhile Playwright's event loop runs, and a test with one of its own cannot."""
    program = shutil.which("chromium")
    assert program is not None, "apt install chromium"
    with sync_playwright() as playwright:
        words = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=words)  # fmt: skip
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def watched() -> Iterator[House]:
    """An Earthflow whose dashboard knows a provider of single sign-on, and that keeps prompts."""
    (port,) = free_ports(1)
    here = f"http://127.0.0.1:{port}"
    provider = IdentityProvider(f"{here}/sign-in/callback")
    provider.order("groups", "ada", ["platform"])
    told = {
        "EARTHFLOW_DASHBOARD_PORT": str(port),
        "EARTHFLOW_DASHBOARD_URL": here,
        "EARTHFLOW_OIDC_ISSUER": provider.url,
        "EARTHFLOW_OIDC_CLIENT_ID": CLIENT,
        "EARTHFLOW_OIDC_CLIENT_SECRET": SECRET,
        "EARTHFLOW_OIDC_ROLES": "platform=operator",
        "AUDIT_HASH_PROMPTS": "false",
    }
    with House(told) as house:
        yield house
    provider.stop()
