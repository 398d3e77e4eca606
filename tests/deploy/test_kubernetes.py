"""deploy/kubernetes and the chart: what a cluster takes, what the guide says, what is safe, and the same from both."""

import re
from copy import deepcopy
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python.chart import lint
from helm_python.errors import HelmError

from addons.settings import ProxySettings
from cli.settings import ALIASES
from contract.setting_names import NAMES
from contract.settings import Settings
from control.settings import ControlSettings
from tests.support import chart_schema
from tests.support.kubernetes import (
    ALERTS,
    CHART,
    CHART_ALERTS,
    KUSTOMIZATIONS,
    OPERATOR_ALERTS,
    Object,
    built,
    operator_alerts,
    pods,
    rendered,
)

# Of the Prometheus operator; a cluster without it does not know them, nor does the checker.
OPERATORS = {"ScrapeConfig", "PodMonitor", "PrometheusRule"}
OLDEST, NEWEST = "1.27", "1.35"
# Sets of values, each as different from the defaults as users are.
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "durable": {"proxy": {"durable": True, "storage": {"size": "50Gi", "className": "fast"}}},
    "large": {
        "proxy": {
            "autoscaling": {"min": 6, "max": 40, "cpu": 60}, "nodeSelector": {"pool": "edge"},
            "tolerations": [{"key": "edge", "operator": "Exists"}],
            "settings": {"EARTHFLOW_MAX_BODY": 67108864, "EARTHFLOW_AUDIT_MODE": "available", "EARTHFLOW_ALLOWED_CLIENTS": "10.0.0.0/8"},
            "service": {"type": "LoadBalancer", "annotations": {"example.com/internal": "true"}},
        },
        "control": {"replicas": 3, "settings": {"RATE_LIMIT_BURST_FACTOR": 2.5}},
        "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"clientNetworks": ["10.20.0.0/16"]},
    },
    "outside": {
        "image": {"repository": "registry.example.com/earthflow", "tag": "2.0.0-own", "pullPolicy": "Always", "pullSecrets": ["pull"]},
        "urls": "earthflow-urls", "secrets": "own-secrets", "ca": "own-ca",
        "proxy": {"tls": "proxy-tls", "providers": "providers: []\n"},
        "postgres": {"host": "db.example.com", "port": 6432}, "redis": {"host": "r.example.com", "port": 6380, "tls": True},
        "networkPolicy": {"enginePorts": [26379], "clients": [{"team": "ai"}, {"team": "data"}]},
        "authorities": "own-authorities",
    },
    "small": {
        "proxy": {"autoscaling": {"enabled": False}, "replicas": 1}, "control": {"replicas": 1}, "networkPolicy": {"enabled": False},
        "rules": {"own.yaml": "version: 1\nrules: []\n"},
    },
}  # fmt: skip
# The guide's own text: 5.2 without `replicas` (the HPA's work, which each `kubectl apply` would undo) and `envFrom` (its
# secrets come by name), and 5.3.
GUIDE_DEPLOYMENT = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: earthflow-proxy, namespace: earthflow}
spec:
  selector: {matchLabels: {app: earthflow-proxy}}
  template:
    metadata: {labels: {app: earthflow-proxy}}
    spec:
      containers:
        - name: proxy
          image: earthflow/proxy:2.0.0
          ports: [{containerPort: 8443}]
          livenessProbe: {httpGet: {path: /health, port: 8443}, initialDelaySeconds: 10, periodSeconds: 30}
          readinessProbe: {httpGet: {path: /health/ready, port: 8443}, initialDelaySeconds: 5, periodSeconds: 10}
          resources: {requests: {cpu: 500m, memory: 512Mi}, limits: {cpu: "2", memory: 4Gi}}
          securityContext: {readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 1000}
""")
GUIDE_HPA = yaml.safe_load("""
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: earthflow-proxy-hpa, namespace: earthflow}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: earthflow-proxy}
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}
""")

MADE = {name: built(name) for name in KUSTOMIZATIONS} | {
    f"chart {name}": rendered(values) for name, values in VALUES.items()
}
each = pytest.mark.parametrize("made", MADE.values(), ids=MADE)


def has(whole: Any, part: Any) -> bool:
    """Whether a part is in the whole: of a map each entry, of a list each element in its order."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and has(whole[name], part[name]) for name in part)  # fmt: skip
    if isinstance(part, list):
        return len(whole) >= len(part) and all(map(has, whole, part))
    return bool(whole == part)


def one(made: list[Object], kind: str, name: str) -> Object:
    [found] = [thing for thing in made if (thing["kind"], thing["metadata"]["name"]) == (kind, name)]  # fmt: skip
    return found


@each
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_a_cluster_takes_it(made: list[Object], version: str) -> None:
    known = [thing for thing in made if thing["kind"] not in OPERATORS]
    assert known
    for thing in known:
        kubernetes_validate.validate(deepcopy(thing), version, strict=True)


@each
def test_no_object_is_there_twice(made: list[Object]) -> None:
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in made]
    assert sorted(set(names)) == sorted(names)


def test_the_guides_objects_are_there() -> None:
    for made in (MADE["base"], MADE["chart defaults"]):
        assert has(one(made, "Deployment", "earthflow-proxy"), GUIDE_DEPLOYMENT)
        assert has(one(made, "HorizontalPodAutoscaler", "earthflow-proxy-hpa"), GUIDE_HPA)  # fmt: skip


@each
def test_no_pod_may_more_than_it_needs(made: list[Object]) -> None:
    for name, pod in pods(made).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert not context.get("privileged"), name
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert {"livenessProbe", "readinessProbe"} <= container.keys()


@each
def test_each_mount_has_its_volume_and_each_port_its_name(made: list[Object]) -> None:
    for thing in made:
        if thing["kind"] not in ("Deployment", "StatefulSet"):
            continue
        spec = thing["spec"]
        pod = spec["template"]["spec"]
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}  # fmt: skip
        mounts = {mount["name"] for box in pod["containers"] for mount in box["volumeMounts"]}  # fmt: skip
        assert mounts == volumes
        labels = spec["template"]["metadata"]["labels"]
        assert has(labels, spec["selector"]["matchLabels"])
    for service in (thing for thing in made if thing["kind"] == "Service"):
        [pod] = [thing["spec"]["template"] for thing in made if thing["kind"] in ("Deployment", "StatefulSet")
                 and has(thing["spec"]["template"]["metadata"]["labels"], service["spec"]["selector"])]  # fmt: skip
        ports = {port["name"] for box in pod["spec"]["containers"] for port in box["ports"]}  # fmt: skip
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def told(made: list[Object], workload: str) -> dict[str, str]:
    """The variables of a workload's container; a Secret's are `Secret/key`."""
    [box] = pods(made)[workload]["containers"]
    variables: dict[str, str] = {}
    for source in box["envFrom"]:
        variables |= one(made, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in box["env"]:
        reference = variable["valueFrom"]["secretKeyRef"]
        assert variable["name"] not in variables
        variables[variable["name"]] = f"{reference['name']}/{reference['key']}"
    return variables


SECRET_VALUES = {
    "master-key": "M" * 43 + "=",
    "admin-api-key": "an-admin-key-of-thirty-two-letters-or-more",
    "postgres-password": "p",
    "redis-password": "r",
    "oidc-client-secret": "o",
    "redis-url": "redis://r:6379/0",
    "database-url": "postgresql://u:p@db:5432/name",
    "database-direct-url": "postgresql://u:p@db:5432/name",
    "database-read-url": "postgresql://u:p@replica:5432/name",
}


@pytest.mark.parametrize(
    ("workload", "program", "secrets"),
    [
        ("earthflow-proxy", ProxySettings, {"master-key", "redis-password", "redis-url"}),
        ("earthflow-control", ControlSettings, SECRET_VALUES.keys()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", [name for name in MADE if name != "workloads"])
def test_each_program_is_told_what_it_reads_and_no_secret_of_others(
    name: str,
    workload: str,
    program: type[Settings],
    secrets: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = told(MADE[name], workload)
    read = {str(field.validation_alias) for field in program.model_fields.values()}
    assert variables.keys() <= read & NAMES
    keys = {variable: value.partition("/")[2] for variable, value in variables.items() if re.fullmatch(r"[\w-]+/[a-z-]+", value)}  # fmt: skip
    assert set(keys.values()) <= secrets
    for variable in NAMES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, SECRET_VALUES.get(keys.get(variable, ""), value))
    program()


def test_the_guides_secret_is_the_one_that_is_used() -> None:
    used = set(told(MADE["base"], "earthflow-control").values()) | set(told(MADE["base"], "earthflow-proxy").values())  # fmt: skip
    assert {f"earthflow-secrets/{key}" for key in ALIASES} <= used


def plain(thing: Object) -> Object:
    """An object without what Helm and kustomize each add."""
    thing = deepcopy(thing)
    metadata = thing["metadata"]
    labels = metadata.get("labels", {})
    for label in ("app.kubernetes.io/managed-by", "helm.sh/chart", "app"):
        labels.pop(label, None)
    if not labels:
        metadata.pop("labels", None)
    template = thing["spec"].get("template") if "spec" in thing else None
    if template:
        template["metadata"].pop("annotations", None)
        for source in template["spec"]["containers"][0]["envFrom"]:
            source["configMapRef"]["name"] = re.sub(r"-[a-z0-9]{10}$", "", source["configMapRef"]["name"])  # fmt: skip
    if thing["kind"] == "ConfigMap":
        metadata["name"] = re.sub(r"-[a-z0-9]{10}$", "", metadata["name"])
    return thing


def sorted_out(made: list[Object]) -> dict[tuple[str, str], Object]:
    return {
        (thing["kind"], thing["metadata"]["name"]): thing for thing in map(plain, made)
    }


@pytest.mark.parametrize(
    ("overlay", "values"),
    [
        ("base", {}),
        ("overlays/durable", {"proxy": {"durable": True}}),
        ("overlays/monitored", {"monitoring": {"enabled": True}}),
    ],
)
def test_the_chart_and_kustomize_make_the_same(
    overlay: str, values: dict[str, Any]
) -> None:
    ours, charts = sorted_out(built(overlay)), sorted_out(rendered(values))
    del ours["Namespace", "earthflow"]  # Helm makes it with --create-namespace
    if scrape := ours.pop(("NetworkPolicy", "earthflow-scrape"), None):
        control = charts["NetworkPolicy", "earthflow-control"]["spec"]["ingress"]
        assert control.pop() == scrape["spec"]["ingress"][0]
    assert charts == ours


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"proxi": {}}, "'proxi' not allowed"),
        ({"proxy": {"settings": {"EARTHFLOW_BLOK_STATUS": 403}}}, "EARTHFLOW_BLOK_STATUS"),
        ({"proxy": {"settings": {"EARTHFLOW_MASTER_KEY": "in the open"}}}, "EARTHFLOW_MASTER_KEY"),
        ({"control": {"settings": {"EARTHFLOW_MAX_BODY": 1}}}, "EARTHFLOW_MAX_BODY"),
        ({"proxy": {"autoscaling": {"min": 5, "max": 2}}}, "min must not be greater"),
        ({"proxy": {"resources": {"requests": {"cpu": None}}}}, "set proxy.resources.requests.cpu"),
        ({"proxy": {"replicas": 0}}, "minimum"),
        *[({"proxy": {"settings": {name: "/x"}}}, name) for name in ("TLS_CERT_PATH", "TLS_KEY_PATH", "TLS_CA_PATH", "EARTHFLOW_PROVIDERS", "EARTHFLOW_MITM_CONF")],
        *[({"proxy": {"settings": {"EARTHFLOW_SPOOL_BYTES": size}}}, "the pod is evicted") for size in (2**33, str(2**34), "", 1)],
        ({"proxy": {"settings": {"REDIS_CA": "/etc/earthflow/authorities/redis.pem"}}}, "is no file in the pod"),
        ({"authorities": "a", "control": {"settings": {"WEBHOOK_CA": "/elsewhere.pem"}}}, "is no file in the pod"),
        ({"proxy": {"service": {"type": "LoadBalancer"}}}, "set networkPolicy.clientNetworks"),
        ({"secrets": "one", "ca": "one"}, "must not see the rest"),
        ({"secrets": "one", "proxy": {"tls": "one"}}, "must not see the rest"),
        ({"urls": "one", "ca": "one"}, "must not see the rest"),
        ({"networkPolicy": {"clients": []}}, "lets nobody in"),
        ({"networkPolicy": {"clients": None}}, "lets nobody in"),
        ({"networkPolicy": {"clients": [{}]}}, "minProperties"),
        ({"networkPolicy": {"clients": {"team": "ai"}}}, "array"),
        ({"networkPolicy": {"monitoring": None}}, "networkPolicy.monitoring"),
        ({"networkPolicy": {"clientNetworks": ["999.0.0.0/8"]}}, "does not match pattern"),
        ({"networkPolicy": {"inside": ["fc00::/7"]}}, "does not match pattern"),
        ({"ca": ""}, "does not match pattern"),
        ({"postgres": {"port": 65536}}, "maximum"),
        ({"rules": {"../own.yaml": ""}}, "../own.yaml"),
        ({"networkPolicy": {"inside": ["10.0.0.1"]}}, "does not match pattern"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(HelmError) as refused:
        rendered(values)
    assert says in str(refused.value)


def test_a_selector_of_ones_own_takes_the_place_of_ours() -> None:
    rules = one(MADE["chart outside"], "NetworkPolicy", "earthflow-proxy")["spec"]["ingress"]  # fmt: skip
    chosen = [peer["namespaceSelector"]["matchLabels"] for peer in rules[0]["from"]]
    assert chosen == [{"team": "ai"}, {"team": "data"}]


def test_both_programs_find_the_files_of_ones_own_authorities() -> None:
    told = {"settings": {"REDIS_CA": "/etc/earthflow/authorities/redis.pem"}}
    made = rendered({"authorities": "own", "proxy": told, "control": told})
    for name in ("earthflow-proxy", "earthflow-control"):
        spec = one(made, "Deployment", name)["spec"]["template"]["spec"]
        mounted = {mount["mountPath"]: mount["name"] for mount in spec["containers"][0]["volumeMounts"]}  # fmt: skip
        [volume] = [one for one in spec["volumes"] if one["name"] == mounted["/etc/earthflow/authorities"]]  # fmt: skip
        assert volume["configMap"] == {"name": "own"}


def test_a_pod_has_the_time_that_its_end_takes() -> None:
    def grace(settings: dict[str, Any]) -> int:
        made = rendered({"proxy": {"settings": settings}})
        spec = one(made, "Deployment", "earthflow-proxy")["spec"]["template"]["spec"]
        return int(spec["terminationGracePeriodSeconds"])

    assert grace({}) == 5 + 30 + 300 + 15
    assert grace({"EARTHFLOW_DRAIN_SECONDS": "60", "EARTHFLOW_FLUSH_SECONDS": 1000}) == 60 + 30 + 1000 + 15  # fmt: skip


def test_a_service_for_the_world_passes_the_clients_address_on() -> None:
    service = one(MADE["chart large"], "Service", "earthflow-proxy")["spec"]
    assert service["externalTrafficPolicy"] == "Local"


def test_numbers_stay_what_they_are() -> None:
    assert told(MADE["chart large"], "earthflow-proxy")["EARTHFLOW_MAX_BODY"] == "67108864"  # fmt: skip
    assert told(MADE["chart large"], "earthflow-control")["RATE_LIMIT_BURST_FACTOR"] == "2.5"  # fmt: skip


def test_a_changed_setting_starts_pods_again() -> None:
    def mark(values: dict[str, Any]) -> str:
        template = one(rendered(values), "Deployment", "earthflow-proxy")["spec"]["template"]  # fmt: skip
        return str(template["metadata"]["annotations"])

    assert mark({}) != mark({"proxy": {"settings": {"EARTHFLOW_BLOCK_STATUS": 403}}})
    assert mark({}) == mark({"control": {"settings": {"AUDIT_RETENTION_DAYS": 30}}})


def test_the_chart_has_nothing_to_complain_of() -> None:
    report = lint(CHART, strict=True)
    assert report["errors"] == []
    assert [said["error"] for said in report["messages"]] == ["icon is recommended"]


def test_what_is_made_of_other_files_is_of_these() -> None:
    assert (CHART / "values.schema.json").read_text() == chart_schema.schema()
    assert OPERATOR_ALERTS.read_text() == operator_alerts()
    assert CHART_ALERTS.read_text() == ALERTS.read_text()
    for name in ("overlays/monitored", "chart large"):
        rule = one(MADE[name], "PrometheusRule", "earthflow")["spec"]
        assert rule == yaml.safe_load(ALERTS.read_text())


@pytest.mark.parametrize("name", ["overlays/monitored", "chart large"])
def test_what_is_scraped_is_there_and_may_be_reached(name: str) -> None:
    made = MADE[name]
    [target] = one(made, "ScrapeConfig", "earthflow")["spec"]["staticConfigs"][0]["targets"]  # fmt: skip
    assert target == "earthflow-dashboard.earthflow.svc:8080"
    assert one(made, "Service", "earthflow-dashboard")["spec"]["ports"][0]["port"] == 8080  # fmt: skip
    monitor = one(made, "PodMonitor", "earthflow-proxy")["spec"]
    proxy = one(made, "Deployment", "earthflow-proxy")["spec"]["template"]
    assert has(proxy["metadata"]["labels"], monitor["selector"]["matchLabels"])
    [endpoint] = monitor["podMetricsEndpoints"]
    ports = {port["name"]: port["containerPort"] for port in proxy["spec"]["containers"][0]["ports"]}  # fmt: skip
    assert ports[endpoint["port"]] == 9090
    opened = {port["port"] for rule in one(made, "NetworkPolicy", "earthflow-proxy")["spec"]["ingress"] for port in rule["ports"]}  # fmt: skip
    assert {8443, 9090} <= opened


def allowed_out(policy: Object) -> set[int]:
    return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


NAME_SERVERS = {53, 5353}  # ports: of all, and of OpenShift's


@pytest.mark.parametrize("name", [name for name in MADE if name not in ("workloads", "chart small")])  # fmt: skip
def test_the_proxy_reaches_443_of_the_world_and_its_own_engines(name: str) -> None:
    policy = one(MADE[name], "NetworkPolicy", "earthflow-proxy")
    redis = 6380 if name == "chart outside" else 6379
    more = {26379} if name == "chart outside" else set()
    assert allowed_out(policy) == NAME_SERVERS | {443, 8080, redis} | more
    for rule in policy["spec"]["egress"]:
        if {"port": 443} in rule["ports"]:
            inside = {network for to in rule["to"] for network in to["ipBlock"]["except"]}  # fmt: skip
            assert {"10.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7"} <= inside


def test_workloads_reach_names_themselves_and_the_proxy_alone() -> None:
    policy = one(MADE["workloads"], "NetworkPolicy", "only-by-earthflow")
    assert policy["spec"]["podSelector"] == {}
    assert policy["spec"]["policyTypes"] == ["Egress"]
    names, own, proxy = policy["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == NAME_SERVERS
    assert own == {"to": [{"podSelector": {}}]}
    assert proxy["ports"] == [{"port": 8443}]
    [peer] = proxy["to"]
    base = MADE["base"]
    labels = one(base, "NetworkPolicy", "earthflow-proxy")["spec"]["podSelector"]["matchLabels"]  # fmt: skip
    assert peer["podSelector"]["matchLabels"] == labels
    opened = one(base, "NetworkPolicy", "earthflow-proxy")["spec"]["ingress"][0]["from"][0]  # fmt: skip
    namespace = one(MADE["workloads"], "Namespace", "ai-workloads")
    assert has(namespace["metadata"]["labels"], opened["namespaceSelector"]["matchLabels"])  # fmt: skip


def test_a_durable_proxy_keeps_its_spool() -> None:
    for name in ("overlays/durable", "chart durable"):
        spec = one(MADE[name], "StatefulSet", "earthflow-proxy")["spec"]
        [claim] = spec["volumeClaimTemplates"]
        assert claim["metadata"]["name"] == "state"
        assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"
        target = one(MADE[name], "HorizontalPodAutoscaler", "earthflow-proxy-hpa")["spec"]["scaleTargetRef"]  # fmt: skip
        assert target["kind"] == "StatefulSet"
        assert spool_bytes(name) == ""  # as many as the volume takes


def spool_bytes(name: str) -> str:
    """EARTHFLOW_SPOOL_BYTES of the proxy."""
    [settings] = [thing["data"] for thing in MADE[name] if thing["kind"] == "ConfigMap" and thing["metadata"]["name"].startswith("earthflow-proxy")]  # fmt: skip
    return str(settings["EARTHFLOW_SPOOL_BYTES"])


@pytest.mark.parametrize("name", ["base", "chart defaults"])
def test_a_spool_on_the_node_is_full_before_its_pod_is_evicted(name: str) -> None:
    spec = one(MADE[name], "Deployment", "earthflow-proxy")["spec"]["template"]["spec"]
    [state] = [volume for volume in spec["volumes"] if volume["name"] == "state"]
    assert state["emptyDir"]["sizeLimit"] == "8Gi"
    assert int(spool_bytes(name)) < 8 * 2**30
