"""The samples of deploy/enforcing are what their readers take, and set variables that clients read."""

import plistlib
import re
import subprocess
from pathlib import Path

import hcl2
import kubernetes_validate
import pytest
import yaml

from cli.run import ADDS_ROOTS, PROXY, REPLACES_ROOTS
from tests.deploy.test_kubernetes import MADE, one
from tests.support.module_map import ROOT

FOLDER = ROOT / "deploy" / "enforcing"
DOCUMENT = (ROOT / "docs" / "enforcing.md").read_text()
READ = {*PROXY, *REPLACES_ROOTS, *ADDS_ROOTS, "NO_PROXY", "no_proxy", "NODE_USE_ENV_PROXY"}  # fmt: skip
NEEDED = {"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "NODE_USE_ENV_PROXY"}  # fmt: skip
URL = re.compile(r"http://any:(KEY|its-key)@proxy\.example\.com:8443")


def check(variables: dict[str, str]) -> None:
    assert NEEDED <= variables.keys() <= READ
    assert URL.fullmatch(variables["HTTPS_PROXY"])
    assert variables["NODE_USE_ENV_PROXY"] == "1"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_profile_tells_shells_once_there_is_a_key(
    shell: str, tmp_path: Path
) -> None:
    def told() -> dict[str, str]:
        line = f"set -eu; . {FOLDER / 'earthflow.sh'}; env"
        done = subprocess.run([shell, "-c", line], env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)  # fmt: skip
        lines = (line.partition("=") for line in done.stdout.splitlines())
        return {name: value for name, _, value in lines if name in READ}

    assert told() == {}
    (tmp_path / ".config" / "earthflow").mkdir(parents=True)
    (tmp_path / ".config" / "earthflow" / "key").write_text("its-key\n")
    check(told())


def test_the_registry_file_is_one() -> None:
    lines = (FOLDER / "earthflow.reg").read_text().splitlines()
    assert lines[0] == "Windows Registry Editor Version 5.00"
    entries = [re.fullmatch(r'"(\w+)"="((?:[^"\\]|\\\\)*)"', line) for line in lines[1:] if line and line[0] not in ";["]  # fmt: skip
    check({entry[1]: entry[2].replace("\\\\", "\\") for entry in entries if entry})
    assert all(entries)
    assert len([line for line in lines if re.fullmatch(r"\[HKEY_LOCAL_MACHINE\\.+\]", line)]) == 1  # fmt: skip


def test_the_profile_of_macos_is_one() -> None:
    profile = plistlib.loads((FOLDER / "earthflow.mobileconfig").read_bytes())
    payloads = profile["PayloadContent"]
    needed = {"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"}
    assert all(needed <= payload.keys() for payload in (profile, *payloads))
    assert len({payload["PayloadUUID"] for payload in (profile, *payloads)}) == 3
    proxy = next(payload for payload in payloads if "proxy" in payload["PayloadType"])
    assert (proxy["ProxyServer"], proxy["ProxyServerPort"]) == ("proxy.example.com", 8443)  # fmt: skip


def test_the_agent_of_macos_sets_variables() -> None:
    agent = plistlib.loads((FOLDER / "environment.plist").read_bytes())
    assert agent["RunAtLoad"] is True
    shell, flag, line = agent["ProgramArguments"]
    subprocess.run([shell, "-n", flag, line], check=True)
    check(dict(re.findall(r"launchctl setenv (\w+) ([^;]+)", line)))


def test_the_security_groups_open_what_is_said_and_nothing_else() -> None:
    with open(FOLDER / "aws.tf") as file:
        read = hcl2.load(file)

    opened = [
        (name, body["from_port"], body["to_port"])
        for resource in read["resource"]
        for kind, named in resource.items()
        for name, body in named.items()
        if kind.endswith("_egress_rule")
    ]
    assert opened == [
        ("programs_to_proxies", 8443, 8443),
        ("proxies_to_providers", 443, 443),
        ("proxies_to_engines", "${tonumber(each.value)}", "${tonumber(each.value)}"),
    ]


def test_the_pod_of_the_document_is_one_and_finds_what_it_names() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    pod = yaml.safe_load(text)
    kubernetes_validate.validate(pod, "1.35", strict=True)
    [container] = pod["spec"]["containers"]
    named = container["envFrom"][0]["configMapRef"]["name"]
    variables = one(MADE["workloads"], "ConfigMap", named)["data"]
    url = next(each["value"] for each in container["env"] if each["name"] == "HTTPS_PROXY")  # fmt: skip
    assert url == "http://any:$(EARTHFLOW_KEY)@earthflow-proxy.earthflow.svc:8443"
    assert NEEDED <= variables.keys() | {"HTTPS_PROXY"} <= READ


def test_every_sample_is_named_in_the_document() -> None:
    assert [file.name for file in FOLDER.iterdir() if f"`{file.name}`" not in DOCUMENT] == []  # fmt: skip
