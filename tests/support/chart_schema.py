"""`python -m tests.support.chart_schema` writes values.schema.json of the chart: what its values may be, and which settings there are."""

import json
from typing import Any

from addons.settings import ProxySettings
from contract.settings import Settings
from control.settings import ControlSettings
from tests.support.module_map import ROOT

SCHEMA = ROOT / "deploy" / "helm" / "earthflow" / "values.schema.json"
# What the chart sets itself, out of other values; and secrets, which are in no values.
CHARTS_OWN = frozenset(
    (
        "EARTHFLOW_PORT", "EARTHFLOW_LISTEN_HOST", "EARTHFLOW_STATE_DIR", "EARTHFLOW_START_TIMEOUT", "EARTHFLOW_CONTROL_URL",
        "EARTHFLOW_METRICS_HOST", "EARTHFLOW_METRICS_PORT", "EARTHFLOW_DASHBOARD_HOST", "EARTHFLOW_DASHBOARD_PORT",
        "EARTHFLOW_RULES_DIR", "REDIS_HOST", "REDIS_PORT", "REDIS_TLS", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER",
        "EARTHFLOW_MASTER_KEY", "EARTHFLOW_ADMIN_API_KEY", "EARTHFLOW_ADMIN_API_KEY_PREVIOUS", "POSTGRES_PASSWORD", "REDIS_PASSWORD",
        "EARTHFLOW_OIDC_CLIENT_SECRET",
        # Files that no pod has, or that it has by other values; with TLS_CA_PATH no probe of the kubelet would be answered.
        "EARTHFLOW_MITM_CONF", "EARTHFLOW_PROVIDERS", "TLS_CERT_PATH", "TLS_KEY_PATH", "TLS_CA_PATH",
        "EARTHFLOW_DATABASE_URL", "EARTHFLOW_DATABASE_DIRECT_URL", "EARTHFLOW_DATABASE_READ_URL", "EARTHFLOW_REDIS_URL",
    )
)  # fmt: skip

TEXT = {"type": "string"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
NO_NAME = {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
FLAG = {"type": "boolean"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
COUNT = {"type": "integer", "minimum": 1, "maximum": 1000}
TEXTS = {"type": "object", "additionalProperties": TEXT}
BYTE = "(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])"
NETWORK = rf"({BYTE}\.){{3}}{BYTE}/(3[0-2]|[12]?[0-9])"
NETWORK6 = r"[0-9a-fA-F]*:[0-9a-fA-F:.]+/(12[0-8]|1[01][0-9]|[1-9]?[0-9])"
# Labels of namespaces: a list, since Helm would put those of a map beside the chart's own.
SELECTORS = {"type": "array", "items": {**TEXTS, "minProperties": 1}}


def _texts_like(pattern: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "pattern": f"^({pattern})$"}}


TOLERATIONS = {"type": "array", "items": {"type": "object"}}


def names(program: type[Settings]) -> list[str]:
    """The settings of a program that values may have."""
    all_of_it = (str(field.validation_alias) for field in program.model_fields.values())
    return sorted(set(all_of_it) - CHARTS_OWN)


def _object(**properties: object) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _settings(program: type[Settings]) -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"enum": names(program)},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    }


def _workload(program: type[Settings], **more: object) -> dict[str, Any]:
    return _object(
        replicas=COUNT,
        resources={"type": "object"},
        settings=_settings(program),
        nodeSelector=TEXTS,
        tolerations=TOLERATIONS,
        **more,
    )


def schema() -> str:
    """The text of values.schema.json."""
    proxy = _workload(
        ProxySettings,
        durable=FLAG,
        storage=_object(
            size={"type": "string", "pattern": "^[0-9]+(Mi|Gi|Ti)$"}, className=TEXT
        ),
        autoscaling=_object(
            enabled=FLAG,
            min=COUNT,
            max=COUNT,
            cpu={"type": "integer", "minimum": 1, "maximum": 100},
        ),
        tls=NO_NAME,
        service=_object(
            type={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, annotations=TEXTS
        ),
        providers=TEXT,
    )
    values = _object(
        image=_object(
            repository=TEXT,
            tag=TEXT,
            pullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
            pullSecrets={"type": "array", "items": NAME},
        ),
        secrets=NAME,
        ca=NAME,
        proxy=proxy,
        control=_workload(ControlSettings),
        rules={
            "type": "object",
            "propertyNames": {"pattern": "^[-A-Za-z0-9_.]+\\.yaml$"},
            "additionalProperties": TEXT,
        },
        postgres=_object(host=TEXT, port=PORT, database=TEXT, user=TEXT),
        redis=_object(host=TEXT, port=PORT, tls=FLAG),
        urls=NO_NAME,
        authorities=NO_NAME,
        networkPolicy=_object(
            enabled=FLAG,
            clients=SELECTORS,
            clientNetworks=_texts_like(f"{NETWORK}|{NETWORK6}"),
            monitoring=SELECTORS,
            inside=_texts_like(NETWORK),
            inside6=_texts_like(NETWORK6),
            enginePorts={"type": "array", "items": PORT},
        ),
        monitoring=_object(enabled=FLAG, labels=TEXTS, keySecret=NAME),
        **{"global": {}},  # Helm's own, which subcharts share
    )
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart earthflow", **values}  # fmt: skip
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema())
