"""Where Earthflow meets mitmproxy: hooks, layers, certificates, and everything that is bent in it.

`mitmproxy.addons` loads every addon of mitmproxy's, with Flask, LDAP and others: some 15 MB that
nothing here needs. It is put in place without that, unless it was there first (`mitmdump -s`).
"""

import sys
from importlib.machinery import PathFinder
from types import ModuleType

import mitmproxy

NAME = "mitmproxy.addons"


def _install() -> None:
    spec = PathFinder.find_spec(NAME, mitmproxy.__path__)
    if NAME in sys.modules or spec is None or spec.submodule_search_locations is None:
        return
    package = ModuleType(NAME)
    package.__spec__, package.__path__ = spec, list(spec.submodule_search_locations)
    sys.modules[NAME] = package
    mitmproxy.addons = package  # type: ignore[attr-defined]


_install()
