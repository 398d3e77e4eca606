"""Others that stand between programs and AI providers, for the contest; what is not installed is left out (`make peers`).

squid       opens TLS and passes on; looks at nothing
secretgate  a proxy: secrets in the last message of a call
LiteLLM     a gateway: its content filter, in all messages and in answers
Portkey     a gateway: expressions, in the last message and in whole answers
"""

import json
import re
import shutil
from pathlib import Path
from subprocess import run

from bench.contest import HTTP2, TUNNEL, Contestant
from bench.entrants import HERE, Entrants, free_port
from bench.load import HOST
from cli.ca_folder import CA_FILE

SQUID = Path("/usr/sbin/squid")
CERTGEN = "/usr/lib/squid/security_file_certgen"
SECRETGATE = HERE / ".venv-peers-secretgate" / "bin" / "python"
LITELLM = HERE / ".venv-peers-litellm" / "bin" / "litellm"
PORTKEY = HERE / ".venv-peers-portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"  # fmt: skip
SYSTEM_ROOTS = Path("/etc/ssl/certs/ca-certificates.crt")
SLOW_START = 120.0  # seconds; LiteLLM takes eleven of a machine that does nothing else
KEY = "Authorization: Bearer sk-bench\r\n"
KINDS = "aws_access_key aws_secret_key github_token slack_token generic_api_key us_ssn email us_phone credit_card visa mastercard amex discover iban ipv4"
EXPRESSIONS = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", r"\bgh[pousr]_[A-Za-z0-9]{36,}\b", r"\bxox[abpr]-[A-Za-z0-9-]{10,}\b",
    r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b", r"\b\d{3}-\d{2}-\d{4}\b", r"\b(?:\d[ -]?){13,15}\d\b",
    r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b", r"\b\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}\b",
)  # fmt: skip
SQUID_CONF = """
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
hosts_file {place}/hosts
tls_outgoing_options cafile={roots} default-ca=off
http_port 127.0.0.1:{port} ssl-bump tls-cert={place}/ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=4MB
sslcrtd_program {certgen} -s {place}/ssl_db -M 4MB
sslcrtd_children 1 startup=1 idle=1
acl CONNECT method CONNECT
http_access allow all
http_upgrade_request_protocols websocket allow all
cache deny all
cache_mem 0
memory_cache_mode disk
access_log none
cache_log {place}/cache.log
cache_store_log none
logfile_rotate 0
pid_filename none
netdb_filename none
pinger_enable off
coredump_dir none
max_filedescriptors 4096
shutdown_lifetime 0 seconds
via off
forwarded_for delete
visible_hostname squid.bench
cache_effective_user proxy
"""
# secretgate asks the name that CONNECT has, and has no setting for it.
SECRETGATE_CODE = f"""
import asyncio, sys
open_connection = asyncio.open_connection
async def opened(host=None, port=None, **more):
    if host == "{HOST}":
        if more.get("ssl"):
            more["server_hostname"] = host
        host, port = "127.0.0.1", PORT
    return await open_connection(host, port, **more)
asyncio.open_connection = opened
from secretgate.cli import main
main()
"""


def enter_all(entrants: Entrants) -> None:
    """Those that are installed."""
    for enter in (squid, secretgate, litellm, portkey):
        enter(entrants)


def squid(entrants: Entrants) -> None:
    """squid 5 with ssl-bump, without caches and logs; it must be started by root."""
    if not SQUID.exists():
        return
    place, port = entrants.folder / "squid", free_port()
    place.mkdir()
    for folder in (place, entrants.folder):
        folder.chmod(0o755)
    shutil.copy(entrants.ca / CA_FILE, place / "ca.pem")
    (place / "roots.pem").write_bytes(entrants.roots.read_bytes())
    (place / "hosts").write_text(f"127.0.0.1 {HOST}\n")
    run([CERTGEN, "-c", "-s", place / "ssl_db", "-M", "4MB"], check=True, capture_output=True)  # fmt: skip
    for path in (place, *place.rglob("*")):
        shutil.chown(path, "proxy", "proxy")
    told = {"place": place, "roots": place / "roots.pem", "port": port, "certgen": CERTGEN}  # fmt: skip
    (place / "squid.conf").write_text(SQUID_CONF.format_map(told))
    pid = entrants.started([str(SQUID), "-N", "-f", str(place / "squid.conf")], {}, port)  # fmt: skip
    entrants.enter(Contestant("squid", pid, port, ("none",), entrants.ca / CA_FILE, to_port=entrants.port, lacks=(HTTP2,)))  # fmt: skip


def secretgate(entrants: Entrants) -> None:
    """secretgate as a forward proxy, which redacts."""
    if not SECRETGATE.exists():
        return
    place, port, other = entrants.folder / "secretgate", free_port(), free_port()
    (place / "certs").mkdir(parents=True)
    pem = (entrants.ca / CA_FILE).read_text()
    key, certificates = re.split(r"(?<=PRIVATE KEY-----\n)(?=-----BEGIN CERT)", pem, maxsplit=1)  # fmt: skip
    (place / "certs" / "ca.key").write_text(key)
    (place / "certs" / "ca.crt").write_text(certificates)
    # It reads these roots for each connection, as it would read the system's.
    (place / "trust.pem").write_bytes(SYSTEM_ROOTS.read_bytes() + entrants.roots.read_bytes())  # fmt: skip
    (place / "config.yaml").write_text("{}\n")
    words = ["serve", "--port", other, "--forward-proxy-port", port, "--certs-dir", place / "certs", "--mode", "redact", "--log-level", "warning", "-c", place / "config.yaml"]  # fmt: skip
    code = SECRETGATE_CODE.replace("PORT", str(entrants.port))
    told = {"SSL_CERT_FILE": str(place / "trust.pem"), "HOME": str(place)}
    pid = entrants.started([str(SECRETGATE), "-c", code, *map(str, words)], told, port)
    entrants.enter(Contestant("secretgate", pid, port, ("none",), entrants.ca / CA_FILE))  # fmt: skip


def litellm(entrants: Entrants) -> None:
    """LiteLLM's proxy with its content filter for calls and answers, without a database."""
    if not LITELLM.exists():
        return
    place, port = entrants.folder / "litellm", free_port()
    place.mkdir()
    kinds = [{"pattern_type": "prebuilt", "pattern_name": kind, "action": "MASK"} for kind in KINDS.split()]  # fmt: skip
    model = {"model": "openai/gpt-5.2", "api_base": f"https://127.0.0.1:{entrants.port}/v1", "api_key": "sk-upstream"}  # fmt: skip
    filter = {"guardrail": "litellm_content_filter", "mode": ["pre_call", "post_call"], "default_on": True, "patterns": kinds}  # fmt: skip
    config = {
        "model_list": [{"model_name": "gpt-5.2", "litellm_params": model}],
        "guardrails": [{"guardrail_name": "content-filter", "litellm_params": filter}],
        "general_settings": {"master_key": "sk-bench"},
    }
    (place / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    told = {"SSL_CERT_FILE": str(entrants.roots), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "HOME": str(place)}  # fmt: skip
    words = ["--config", str(place / "config.yaml"), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
    pid = entrants.started([str(LITELLM), *words], told, port, SLOW_START)
    entrants.enter(
        Contestant(
            "LiteLLM", pid, port, ("",), entrants.roots, KEY, lacks=(TUNNEL, HTTP2)
        )
    )


def portkey(entrants: Entrants) -> None:
    """Portkey's gateway with eight expressions for calls, and for answers."""
    node = shutil.which("node")
    if node is None or not PORTKEY.exists():
        return
    port = free_port()
    checks = [{"id": "default.regexMatch", "parameters": {"rule": one, "not": True}} for one in EXPRESSIONS]  # fmt: skip
    guards = {"type": "guardrail", "deny": True, "async": False, "checks": checks}
    config = {
        "provider": "openai",
        "api_key": "sk-bench",
        "custom_host": f"https://127.0.0.1:{entrants.port}/v1",
        "before_request_hooks": [{**guards, "id": "in"}],
        "after_request_hooks": [{**guards, "id": "out"}],
    }
    told = {"NODE_EXTRA_CA_CERTS": str(entrants.roots), "NODE_ENV": "production", "HOME": str(entrants.folder)}  # fmt: skip
    pid = entrants.started([node, str(PORTKEY), f"--port={port}", "--headless"], told, port)  # fmt: skip
    heads = f"x-portkey-provider: openai\r\nx-portkey-config: {json.dumps(config)}\r\n"
    entrants.enter(
        Contestant(
            "Portkey", pid, port, ("",), entrants.roots, heads, lacks=(TUNNEL, HTTP2)
        )
    )
