"""The names of all settings, of every program of ours, and which variables look like one and are none."""

import difflib
import re
from collections.abc import Mapping

NAMES = frozenset(
    (
        "EARTHFLOW_MASTER_KEY",
        "EARTHFLOW_ADMIN_API_KEY",
        "EARTHFLOW_ADMIN_API_KEY_PREVIOUS",
        "EARTHFLOW_ENV",
        "EARTHFLOW_LOG_LEVEL",
        "EARTHFLOW_LOG_FORMAT",
        "EARTHFLOW_PORT",
        "EARTHFLOW_LISTEN_HOST",
        "EARTHFLOW_STATE_DIR",
        "EARTHFLOW_DRAIN_SECONDS",
        "EARTHFLOW_START_TIMEOUT",
        "EARTHFLOW_CONTROL_URL",
        "EARTHFLOW_FAIL_MODE",
        "EARTHFLOW_AUDIT_MODE",
        "EARTHFLOW_BLOCK_STATUS",
        "EARTHFLOW_MAX_BODY",
        "EARTHFLOW_CONNECTIONS_PER_ADDRESS",
        "EARTHFLOW_ALLOWED_CLIENTS",
        "EARTHFLOW_HANDSHAKE_TIMEOUT",
        "EARTHFLOW_CONNECTION_MAX_AGE",
        "EARTHFLOW_STREAM_IDLE_TIMEOUT",
        "EARTHFLOW_STREAM_MAX_AGE",
        "EARTHFLOW_METRICS_PORT",
        "EARTHFLOW_METRICS_HOST",
        "EARTHFLOW_SNAPSHOT_MAX_AGE",
        "EARTHFLOW_SPOOL_BYTES",
        "EARTHFLOW_FLUSH_SECONDS",
        "EARTHFLOW_UPSTREAM_CA",
        "EARTHFLOW_UPSTREAM_MAP",
        "EARTHFLOW_PROVIDERS",
        "EARTHFLOW_INTERNAL_HOSTS",
        "EARTHFLOW_UNKNOWN_HOSTS",
        "EARTHFLOW_CACHE_DIR",
        "EARTHFLOW_MITM_CONF",
        "EARTHFLOW_DASHBOARD_HOST",
        "EARTHFLOW_DASHBOARD_PORT",
        "EARTHFLOW_TRUSTED_PROXIES",
        "EARTHFLOW_DASHBOARD_URL",
        "EARTHFLOW_OIDC_ISSUER",
        "EARTHFLOW_OIDC_CLIENT_ID",
        "EARTHFLOW_OIDC_CLIENT_SECRET",
        "EARTHFLOW_OIDC_ROLES",
        "EARTHFLOW_OIDC_GROUPS_CLAIM",
        "EARTHFLOW_RULES_DIR",
        "POSTGRES_HOST",
        "POSTGRES_PORT",
        "POSTGRES_DB",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "EARTHFLOW_DATABASE_URL",
        "EARTHFLOW_DATABASE_DIRECT_URL",
        "EARTHFLOW_DATABASE_READ_URL",
        "REDIS_HOST",
        "REDIS_PORT",
        "REDIS_PASSWORD",
        "REDIS_TLS",
        "REDIS_CA",
        "EARTHFLOW_REDIS_URL",
        "RATE_LIMIT_DEFAULT_RPM",
        "RATE_LIMIT_BURST_FACTOR",
        "RATE_LIMIT_WINDOW_SECONDS",
        "TLS_CERT_PATH",
        "TLS_KEY_PATH",
        "TLS_CA_PATH",
        "WEBHOOK_MAX_RETRIES",
        "WEBHOOK_TIMEOUT_SECONDS",
        "WEBHOOK_RETRY_BACKOFF_MS",
        "WEBHOOK_LONG_RETRY_HOURS",
        "WEBHOOK_INTERNAL_HOSTS",
        "WEBHOOK_CA",
        "AUDIT_RETENTION_DAYS",
        "AUDIT_HASH_PROMPTS",
        "EARTHFLOW_API_KEY",
        "EARTHFLOW_URL",
        "EARTHFLOW_CONTEXT",
        "EARTHFLOW_CONFIG_DIR",
        "EARTHFLOW_PROXY_URL",
        "EARTHFLOW_CA_CERT",
        "EARTHFLOW_PROXY_CA",
        "EARTHFLOW_CLIENT_CERT",
        "EARTHFLOW_CLIENT_KEY",
        "EARTHFLOW_POSTGRES_BIN",
        "EARTHFLOW_REDIS_SERVER",
    )
)
OWN = "EARTHFLOW_"
# Set by `earthflow run` for what it runs.
MARKS = frozenset(("EARTHFLOW_RUN",))
# Other programs have variables that begin so, too: only what nearly is one of ours is meant for us.
SHARED = ("POSTGRES_", "REDIS_", "RATE_LIMIT_", "TLS_", "WEBHOOK_", "AUDIT_")
NEARLY = 0.85  # the ratio of difflib: one letter of eight wrong, or an ending left out
# What Kubernetes sets for a service named `earthflow` or `redis`, to its address.
LINK_NAME = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
LINK = re.compile(r"(tcp|udp|sctp)://.*")


def is_service_link(name: str, value: str) -> bool:
    """Whether a variable is one that Kubernetes sets for a service, and no setting."""
    if LINK_NAME.fullmatch(name):
        return True
    return name.endswith("_PORT") and LINK.fullmatch(value) is not None


def unknown(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that looks like a setting and is none, with the name that was probably meant."""
    sentences = []
    for name, value in sorted(environment.items()):
        upper = name.upper()  # settings are read in any case of letters
        if upper in NAMES or upper in MARKS or is_service_link(upper, value):
            continue
        close = difflib.get_close_matches(upper, NAMES, n=1, cutoff=NEARLY)
        if upper.startswith(OWN):
            close = close or difflib.get_close_matches(upper, NAMES, n=1)
            meant = f"did you mean {close[0]}?" if close else "see .env.example."
        elif close and upper.startswith(SHARED):
            meant = f"did you mean {close[0]}?"
        else:
            continue
        sentences.append(f"{name} is no setting, and changes nothing; {meant}")
    return sentences
