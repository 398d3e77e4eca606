"""Settings are values: each has edges, and one step beyond them is a sentence with its name. What is no setting is said so."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from addons.settings import ProxySettings
from contract.redis_place import redis_url
from contract.setting_names import NAMES, is_service_link, unknown
from contract.setting_types import host_of
from contract.settings import Settings, explain
from control.settings import ControlSettings
from tests.support.house import EARTHFLOW
from tests.support.module_map import ROOT
from tests.support.setting_table import (
    PROGRAMS,
    edges_of,
    fields,
    table,
    words_of,
)

MASTER = Fernet.generate_key().decode()
REQUIRED = {
    "EARTHFLOW_MASTER_KEY": MASTER,
    "EARTHFLOW_ADMIN_API_KEY": "a" * 40,
    "POSTGRES_PASSWORD": "hunter22-the-password",
}
NUMBERS = [
    pytest.param(program, name, field, id=f"{program}-{name}")
    for program, name, field in fields()
    if edges_of(field) is not None
]


def read(program: str, **told: str) -> Settings:
    return PROGRAMS[program].model_validate({**REQUIRED, **told})


def refused(program: str, **told: str) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        read(program, **told)
    return explain(caught.value)


def value_of(settings: Settings, name: str) -> Any:
    model = type(settings).model_fields
    return getattr(settings, next(one for one in model if model[one].validation_alias == name))  # fmt: skip


def test_the_table_of_settings_is_the_programs() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == table()


def test_the_names_are_those_that_the_programs_read() -> None:
    assert {name for _, name, _ in fields()} == NAMES


@pytest.mark.parametrize(("program", "name", "field"), NUMBERS)
def test_a_number_is_taken_up_to_its_edges_and_no_further(
    program: str, name: str, field: FieldInfo
) -> None:
    edges = edges_of(field)
    assert edges is not None
    if field.default is not None:
        assert edges.smallest <= field.default <= edges.largest
    for inside in edges:
        assert value_of(read(program, **{name: str(inside)}), name) == inside
    step = 1 if isinstance(edges.largest, int) and "FACTOR" not in name and "TIMEOUT_SECONDS" not in name else 0.01  # fmt: skip
    for beyond, sentence in (
        (edges.smallest - step, f"{name} must be at least {edges.smallest}."),
        (edges.largest + step, f"{name} must be at most {edges.largest}."),
    ):
        assert refused(program, **{name: str(beyond)}) == [sentence]
    for nonsense in ("many", "1e999", "nan", "0x10", "1 2", "９９x"):
        (said,) = refused(program, **{name: nonsense})
        assert said.startswith(f"{name} must be ")


@pytest.mark.parametrize(
    ("program", "name", "field"),
    [
        pytest.param(program, name, field, id=f"{program}-{name}")
        for program, name, field in fields()
        if words_of(field) or field.annotation is bool
    ],
)
def test_a_word_is_one_of_those_there_are(
    program: str, name: str, field: FieldInfo
) -> None:
    for word in words_of(field) or ["true", "false"]:
        read(program, **{name: word})
    (said,) = refused(program, **{name: "maybe"})
    assert said.startswith(f"{name} must be ")


HOSTS = [
    "redis", "redis.internal", "my_db", "a-b.c", "10.0.0.7", "::1", "[::1]", "fe80::1%eth0", "xn--bcher-kva.example", "a." * 126 + "a", "host.",
]  # fmt: skip
NO_HOSTS = [
    "redis:6379", "redis://h", "h/x", "a b", "-a", "a-", "a..b", "256.1.1.1", "1.2.3", "user@h", "é", "[::1", "::1]:5", "a" * 64, "a." * 127 + "a", "h\n", ".",
]  # fmt: skip


@pytest.mark.parametrize("name", ["REDIS_HOST", "POSTGRES_HOST", "EARTHFLOW_DASHBOARD_HOST"])  # fmt: skip
def test_a_host_is_a_name_or_an_address(name: str) -> None:
    for host in HOSTS:
        assert value_of(read("control", **{name: host}), name) == host.strip("[]")
    for host in NO_HOSTS:
        (said,) = refused("control", **{name: host})
        assert said.startswith(f"{name} must be a host name or an address"), host


@given(st.text(max_size=300))
def test_a_host_is_read_whatever_is_written(text: str) -> None:
    try:
        assert host_of(host_of(text)) == host_of(text)
    except ValueError as error:
        assert "must be a host name" in str(error)


def test_a_redis_at_an_ipv6_address_has_a_url() -> None:
    settings = read("proxy", REDIS_HOST="::1", REDIS_PASSWORD="p:w@1/x")
    assert isinstance(settings, ProxySettings)
    assert settings.redis == "redis://:p%3Aw%401%2Fx@[::1]:6379/0"


def test_a_database_may_have_several_hosts_or_a_socket() -> None:
    for host in ("/run/postgresql", "db1,db2", "db1, ::1"):
        settings = read("control", POSTGRES_HOST=host)
        assert isinstance(settings, ControlSettings)
        assert settings.database


@pytest.mark.parametrize(
    ("program", "name", "url"),
    [
        *[("proxy", "EARTHFLOW_REDIS_URL", url) for url in ("redis://h:x/0", "redis://h:70000", "redis://h/zero", "http://h", "redis://h:0", "redis://a b")],
        *[("control", "EARTHFLOW_DATABASE_URL", url) for url in ("postgresql://h:x/d", "postgresql://u:s3cretpw@h:70000/d", "http://h", "nonsense//x")],
        *[("proxy", "EARTHFLOW_CONTROL_URL", url) for url in ("https://h", "h:8080", "http://h:x", "http://h:70000", "http://h/path", "http://", "http://u:s3cretpw@h", "http://a b")],
        *[("up", "EARTHFLOW_URL", url) for url in ("ftp://h", "https://h:99999", "https://u:s3cretpw@h", "https://h/x?y", "https://")],
        *[("up", "EARTHFLOW_PROXY_URL", url) for url in ("socks5://h", "https://h/x", "https://h:99999")],
        ("proxy", "EARTHFLOW_UPSTREAM_MAP", "a=b"), ("proxy", "EARTHFLOW_UPSTREAM_MAP", "a=b:70000"), ("proxy", "EARTHFLOW_INTERNAL_HOSTS", "a,*.b"),
        ("control", "EARTHFLOW_TRUSTED_PROXIES", "10.0.0.0/8,proxy"), ("control", "EARTHFLOW_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("control", "EARTHFLOW_ADMIN_API_KEY", "é" * 40), ("control", "EARTHFLOW_ADMIN_API_KEY", "a" * 39 + "\n"), ("control", "EARTHFLOW_ADMIN_API_KEY", "a" * 1001),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_refused_without_being_shown(
    program: str, name: str, url: str
) -> None:
    (said,) = refused(program, **{name: url})
    assert said.startswith(f"{name} must ")
    assert "s3cretpw" not in said


def test_urls_that_lead_somewhere_are_taken() -> None:
    from pydantic import SecretStr

    for url in ("redis://h", "rediss://:p%40@h:1/15", "unix:///run/redis.sock", "redis://[::1]:6379/0?timeout=1"):  # fmt: skip
        assert redis_url(SecretStr(url)) is not None
    for url, control in (
        ("http://[::1]:8080", ("::1", 8080)),
        ("http://earthflow-dashboard", ("earthflow-dashboard", 80)),
        ("http://a:1/", ("a", 1)),
    ):
        settings = read("proxy", EARTHFLOW_CONTROL_URL=url)
        assert isinstance(settings, ProxySettings)
        assert settings.control == control
    read("up", EARTHFLOW_URL="https://h/earthflow")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("EARTHFLOW_MAX_BODDY", "EARTHFLOW_MAX_BODY"), ("EARTHFLOW_FAILMODE", "EARTHFLOW_FAIL_MODE"), ("earthflow_log_levl", "EARTHFLOW_LOG_LEVEL"),
        ("POSTGRES_PASWORD", "POSTGRES_PASSWORD"), ("REDIS_PASSWD", "REDIS_PASSWORD"), ("TLS_CERT_PTH", "TLS_CERT_PATH"),
        ("AUDIT_RETENTION_DAY", "AUDIT_RETENTION_DAYS"), ("WEBHOOK_TIMEOUT_SECOND", "WEBHOOK_TIMEOUT_SECONDS"), ("RATE_LIMIT_DEFAULT_RPS", "RATE_LIMIT_DEFAULT_RPM"),
    ],
)  # fmt: skip
def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(
    name: str, meant: str
) -> None:
    assert unknown({name: "1"}) == [f"{name} is no setting, and changes nothing; did you mean {meant}?"]  # fmt: skip


def test_what_is_others_is_no_mistake() -> None:
    others = {
        "POSTGRES_INITDB_ARGS": "x", "REDIS_VERSION": "7", "TLS_MIN": "1", "PATH": "/bin", "EARTHFLOW_RUN": "1", "AUDIT_LOG": "x", "REDISCLI_AUTH": "x",
        "EARTHFLOW_PROXY_SERVICE_HOST": "10.0.0.1", "EARTHFLOW_PROXY_SERVICE_PORT": "8443", "EARTHFLOW_PROXY_SERVICE_PORT_HTTPS": "8443",
        "EARTHFLOW_PORT": "tcp://10.0.0.1:8443", "EARTHFLOW_PROXY_PORT": "tcp://10.0.0.1:8443", "EARTHFLOW_PORT_8443_TCP": "tcp://10.0.0.1:8443",
        "EARTHFLOW_PORT_8443_TCP_ADDR": "10.0.0.1", "EARTHFLOW_PORT_8443_TCP_PORT": "8443", "EARTHFLOW_PORT_53_UDP_PROTO": "udp",
    }  # fmt: skip
    assert unknown(others) == []
    assert not is_service_link("EARTHFLOW_PORT", "8443")
    assert value_of(read("proxy", EARTHFLOW_PORT="tcp://10.0.0.1:8443"), "EARTHFLOW_PORT") == 8443  # fmt: skip


def check(*words: str, **told: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("EARTHFLOW_") and name not in NAMES}  # fmt: skip
    return subprocess.run(
        [EARTHFLOW, "config", "check", *words],
        env={**own, **told},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_check_shows_what_is_in_force_and_where_it_is_from(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    lines = {**REQUIRED, "EARTHFLOW_PORT": "9443", "REDIS_PASSWORD": "hunter33-redis"}
    file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    done = check("--env-file", str(file), "-o", "json", EARTHFLOW_MAX_BODY="4096")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {(one["name"], one["program"]): (one["value"], one["from"]) for one in json.loads(done.stdout)}  # fmt: skip
    assert rows["EARTHFLOW_PORT", "proxy"] == ("9443", "environment")
    assert rows["EARTHFLOW_MAX_BODY", "proxy"] == ("4096", "environment")
    assert rows["REDIS_HOST", "control"] == ("redis", "default")
    assert rows["EARTHFLOW_MASTER_KEY", "control"] == ("****", "environment")
    assert not [secret for secret in (*REQUIRED.values(), "hunter33-redis") if secret in done.stdout]  # fmt: skip


def test_the_check_says_what_is_wrong_and_ends_as_a_start_would(tmp_path: Path) -> None:
    told = {**REQUIRED, "REDIS_PORT": "70000", "TLS_CERT_PATH": "/no/cert.pem", "TLS_KEY_PATH": "/no/key.pem"}  # fmt: skip
    done = check("control", **told)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == "earthflow control: REDIS_PORT must be at most 65535.\n"
    done = check("proxy", **told | {"REDIS_PORT": "6379", "EARTHFLOW_MAX_BODDY": "1"})
    assert done.returncode == 78
    assert "EARTHFLOW_MAX_BODDY is no setting" in done.stderr
    assert "TLS_CERT_PATH names /no/cert.pem, which is not there." in done.stderr
    missing = check("--env-file", str(tmp_path / "none"))
    assert (missing.returncode, "cannot be read" in missing.stderr) == (2, True)


def test_a_start_mentions_what_is_no_setting_and_goes_on(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("EARTHFLOW_") and name not in NAMES}  # fmt: skip
    told = {
        **own, **REQUIRED, "EARTHFLOW_MAX_BODDY": "1", "EARTHFLOW_STATE_DIR": str(tmp_path), "EARTHFLOW_START_TIMEOUT": "0",
        "POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1",
    }  # fmt: skip
    done = subprocess.run([EARTHFLOW, "control"], env=told, capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, "did you mean EARTHFLOW_MAX_BODY?" in done.stderr) == (1, True)  # fmt: skip
    assert "does not answer" in done.stderr
