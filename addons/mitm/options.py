"""mitm.conf: mitmproxy's own options, read and checked; what Earthflow's guarantees rest on stays as it is."""

from types import SimpleNamespace
from typing import Any

import yaml
from mitmproxy import addonmanager, exceptions, options, optmanager
from mitmproxy.addons import next_layer, proxyserver, tlsconfig

from addons.settings import ProxySettings

# mitm.conf may repeat these, not change them.
REQUIRED: dict[str, Any] = {
    "connection_strategy": "lazy",
    "ssl_insecure": False,
    "validate_inbound_headers": True,
    "rawtcp": False,
    "websocket": True,
    "stream_large_bodies": None,
    "body_size_limit": None,
    "ignore_hosts": [],
    "allow_hosts": [],
    "tcp_hosts": [],
    "request_client_cert": False,
    "certs": [],
}


def load_options(settings: ProxySettings, into: options.Options) -> list[str]:
    """Read mitm.conf into mitmproxy's options, once all addons are there; what is wrong, as sentences."""
    path = settings.conf
    try:
        written = yaml.safe_load(path.read_text()) or {}
        if not isinstance(written, dict):
            return [f"{path}: must be lines of `option: value`"]
        optmanager.load(into, path.read_text(), path.parent)
    except OSError as error:
        return [f"cannot read {path}: {error.strerror}"]
    except (yaml.YAMLError, exceptions.OptionsError, TypeError, ValueError) as error:
        return [f"{path}: {error}"]
    problems = [f"{path}: unknown option `{name}`" for name in into.deferred]
    for name, value in written.items():
        choices = into._options[name].choices if name in into else None
        if choices and value not in choices:
            allowed = ", ".join(choices)
            problems.append(f"{path}: `{name}` must be one of {allowed}, not {value}")
        elif name in REQUIRED and value != REQUIRED[name]:
            problems.append(
                f"{path}: `{name}` must stay {REQUIRED[name]}; "
                "Earthflow's guarantees rest on it"
            )
    return problems


def known_options(settings: ProxySettings) -> options.Options:
    """Every option that mitmproxy's addons define, without a Master: a Master listens to the log for ever."""
    known = options.Options(confdir=str(settings.confdir))
    loader: Any = addonmanager.Loader(SimpleNamespace(options=known))
    for addon in (
        proxyserver.Proxyserver(),
        next_layer.NextLayer(),
        tlsconfig.TlsConfig(),
    ):
        if hasattr(addon, "load"):
            addon.load(loader)
    return known
