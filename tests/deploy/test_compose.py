"""compose.yaml and what is laid over it: valid, and each service is told what it reads and nothing else."""

import json
import subprocess
from pathlib import Path
from typing import Any

import compose
import pytest
import yaml

from addons.settings import ProxySettings
from cli.settings import UpSettings, environment
from control.settings import ControlSettings

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(compose.__file__).with_name("docker-compose")
SECRETS = {
    "EARTHFLOW_MASTER_KEY": "the-master-key",
    "EARTHFLOW_ADMIN_API_KEY": "the-admin-key",
    "POSTGRES_PASSWORD": "the-password",
}
# The deployment guide's own text, 4.2.
GUIDE = """
services:
  earthflow-proxy:
    restart: always
    deploy:
      resources:
        limits:
          cpus: '2'
          memory: 4G
    logging:
      driver: "json-file"
      options:
        max-size: "100m"
        max-file: "5"
    security_opt:
      - no-new-privileges:true
    read_only: true
    tmpfs:
      - /tmp
"""
PRODUCTION, REDIS_TLS = "deploy/compose.prod.yaml", "deploy/compose.redis-tls.yaml"
# Settings that a container has no use for.
OUTSIDE = {
    "EARTHFLOW_UPSTREAM_MAP",
    "EARTHFLOW_LISTEN_HOST",
    "EARTHFLOW_CACHE_DIR",
    "EARTHFLOW_MITM_CONF",
}
OF_PROGRAM = {
    "earthflow-proxy": ProxySettings,
    "earthflow-dashboard": ControlSettings,
    "earthflow-ca": UpSettings,
}
FOR_A_COMMAND = "earthflow-backup"  # not started by itself


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "docker-compose.prod.yml"
    path.write_text(GUIDE)
    return path


def config(*over: object, **told: str) -> subprocess.CompletedProcess[str]:
    files = [
        word for file in ("compose.yaml", *map(str, over)) for word in ("-f", file)
    ]
    return subprocess.run(
        [TOOL, "--project-directory", str(ROOT), "--env-file", "/dev/null", *files, "config", "--format", "json"],
        cwd=ROOT,
        env=environment(SECRETS | told),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def services(*over: object, **told: str) -> dict[str, Any]:
    done = config(*over, **told)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.mark.parametrize(
    "over",
    [(), (PRODUCTION,), (REDIS_TLS,), (PRODUCTION, REDIS_TLS), ("guide",), (PRODUCTION, "guide"), (PRODUCTION, REDIS_TLS, "guide")],
)  # fmt: skip
def test_every_combination_is_valid(over: tuple[str, ...], guide: Path) -> None:
    found = services(*(guide if name == "guide" else name for name in over))
    assert {"earthflow-proxy", "earthflow-dashboard", "postgres", "redis"} <= set(found)
    proxy = found["earthflow-proxy"]
    assert (proxy["read_only"], proxy["tmpfs"]) == (True, ["/tmp"])
    assert "no-new-privileges" in proxy["security_opt"]
    # in production a person makes the CA
    assert ("earthflow-ca" in found) == (PRODUCTION not in over)
    if "guide" in over or PRODUCTION in over:
        assert proxy["restart"] == "always"
        assert proxy["deploy"]["resources"]["limits"]["cpus"] == 2
        assert proxy["logging"]["options"] == {"max-size": "100m", "max-file": "5"}


@pytest.mark.parametrize("name", OF_PROGRAM)
def test_a_service_is_told_what_it_reads_and_nothing_else(name: str) -> None:
    told = set(services()[name]["environment"])
    read = {str(f.validation_alias) for f in OF_PROGRAM[name].model_fields.values()}
    assert told <= read
    if name != "earthflow-ca":
        assert read - told == OUTSIDE & read


def test_no_service_has_anothers_secret() -> None:
    def given(name: str) -> set[str]:
        return {
            secret
            for secret, value in SECRETS.items()
            if value in json.dumps(services()[name])
        }

    assert given("earthflow-proxy") == {"EARTHFLOW_MASTER_KEY"}
    assert given("earthflow-dashboard") == set(SECRETS)
    assert given("earthflow-ca") == {"EARTHFLOW_ADMIN_API_KEY"}
    assert given("postgres") == {"POSTGRES_PASSWORD"}
    assert given("redis") == set()


def test_a_setting_of_the_env_file_reaches_its_service() -> None:
    found = services(RATE_LIMIT_DEFAULT_RPM="7", EARTHFLOW_FAIL_MODE="open", EARTHFLOW_PORT="9443")  # fmt: skip
    control, proxy = found["earthflow-dashboard"], found["earthflow-proxy"]
    assert control["environment"]["RATE_LIMIT_DEFAULT_RPM"] == "7"
    assert proxy["environment"]["EARTHFLOW_FAIL_MODE"] == "open"
    assert [(port["published"], port["target"]) for port in proxy["ports"]] == [
        ("9443", 9443)
    ]


@pytest.mark.parametrize("missing", SECRETS)
def test_a_secret_that_is_not_set_is_named(missing: str) -> None:
    done = config(**{missing: ""})
    assert done.returncode != 0
    assert f"set {missing} in .env" in done.stderr


def test_what_the_guide_promises_of_ports_names_and_volumes() -> None:
    found = services()
    assert found["postgres"]["container_name"] == "earthflow-postgres"
    published = {
        name: [(port.get("host_ip", ""), port["published"]) for port in one["ports"]]
        for name, one in found.items()
        if one.get("ports")
    }
    assert published == {
        "earthflow-proxy": [("", "8443")],
        "earthflow-dashboard": [("127.0.0.1", "8080")],
    }
    for name in OF_PROGRAM:
        one = found[name]
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
    for one in found.values():
        assert one["logging"]["options"]["max-size"]
        assert one["init"] is True
    # only the one-shot writes the CA; the proxy's records outlive it
    mounts = {v["target"]: v for v in found["earthflow-proxy"]["volumes"]}
    assert mounts["/var/lib/earthflow/ca"]["read_only"] is True
    assert mounts["/var/lib/earthflow"]["type"] == "volume"
    # as the image's own user, which it only becomes for this program
    assert found["redis"]["command"][0] == "valkey-server"
    command = " ".join(found["redis"]["command"])
    for words in ("--appendonly yes", "noeviction", "--maxmemory", "--requirepass"):
        assert words in command


def test_the_order_of_the_first_start() -> None:
    waits = {
        name: {other: how["condition"] for other, how in one.get("depends_on", {}).items()}
        for name, one in services().items()
    }  # fmt: skip
    healthy, done = "service_healthy", "service_completed_successfully"
    assert waits == {
        "postgres": {},
        "redis": {},
        "earthflow-dashboard": {"postgres": healthy, "redis": healthy},
        "earthflow-ca": {"earthflow-dashboard": healthy},
        "earthflow-proxy": {"earthflow-dashboard": healthy, "earthflow-ca": done},
    }


def test_the_providers_file_that_is_mounted_is_one() -> None:
    from contract.providers import ai_hosts, providers

    assert ai_hosts(providers(ROOT / "deploy" / "providers.yaml")) == ai_hosts()
    assert yaml.safe_load((ROOT / "deploy" / "providers.yaml").read_text()) == {
        "providers": {}
    }
