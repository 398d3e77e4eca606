"""`earthflow login` where things go wrong: a key that is nowhere else, a folder that cannot be written, a control that starts again."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import context, login
from cli.__main__ import app
from cli.client import Control, Refused
from cli.errors import CommandError

URL = "https://earthflow.corp.example"
WAITING = {"code": "c", "user_code": "BCDF-GHJK", "url": f"{URL}/sign-in/command", "expires_in": 600, "interval": 0}  # fmt: skip
GOT = {"id": "i", "role": "auditor", "tenants": None, "name": "ada (command)", "not_after": None, "api_key": "ef_aud_new"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EARTHFLOW_CONFIG_DIR", str(tmp_path))
    for name in ("EARTHFLOW_URL", "EARTHFLOW_CONTEXT", "EARTHFLOW_ADMIN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


class Answers:
    """Control as it answers one request after the other."""

    def __init__(self, *told: dict[str, Any] | Exception):
        self.told, self.sent = list(told), list[str]()

    def post(self, _: Control, path: str, body: object, key: str | None = None) -> Any:
        self.sent.append(path)
        one = self.told.pop(0)
        if isinstance(one, Exception):
            raise one
        return dict(one)


def run(monkeypatch: pytest.MonkeyPatch, answers: Answers, *words: str) -> Any:
    monkeypatch.setattr(Control, "post", lambda *given: answers.post(*given))
    return CliRunner().invoke(app, list(words))


def test_login_waits_through_what_passes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    passing = [Refused("x", "login_waits"), Refused("x", "login_too_often"), Refused("x", "unknown"), Refused("x", "database_away"), CommandError("Control does not answer.")]  # fmt: skip
    answers = Answers(WAITING, *passing, GOT)
    done = run(monkeypatch, answers, "login", "--url", URL, "-o", "json")
    assert done.exit_code == 0, done.output
    assert (folder / "keys" / "earthflow-corp-example").read_text() == "ef_aud_new\n"
    found = context.chosen(None)
    assert found is not None and (found.url, found.key) == (URL, "ef_aud_new")
    # Later it needs no name, and ends the key before.
    again = Answers(WAITING, GOT, {"ended": "i"})
    assert run(monkeypatch, again, "login").exit_code == 0
    refusing = Answers(WAITING, {**GOT, "api_key": "ef_aud_third"}, Refused("x", "database_away"))  # fmt: skip
    assert run(monkeypatch, refusing, "login").exit_code == 0
    assert (folder / "keys" / "earthflow-corp-example").read_text() == "ef_aud_third\n"
    assert again.sent == ["/sign-in/logins", "/sign-in/logins/poll", "/sign-out"]


@pytest.mark.parametrize("code", login.OVER)
def test_login_ends_where_nobody_will_come(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:  # fmt: skip
    done = run(monkeypatch, Answers(WAITING, Refused("x", code)), "login", "--url", URL)
    assert isinstance(done.exception, Refused)
    assert context.chosen(None) is None


def test_a_key_that_is_nowhere_else_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    context.keep(context.new("corp", URL, None))
    context.keep_key("corp", "ef_adm_lasting")
    for words in (("login",), ("login", "--url", URL, "--name", "corp")):
        done = run(monkeypatch, Answers(), *words)
        assert "has a key that signing in would replace" in str(done.exception)
    assert (folder / "keys" / "corp").read_text() == "ef_adm_lasting\n"


def test_where_no_key_can_be_kept_nobody_is_asked_to_sign_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (folder / "keys").write_text("a file")
    done = run(monkeypatch, Answers(), "login", "--url", URL)
    assert "cannot be written" in str(done.exception)


def test_an_old_key_does_not_stay_beside_another_url(folder: Path) -> None:
    context.keep(context.new("corp", URL, None))
    context.keep_key("corp", "ef_aud_old", signed_in=True)
    context.keep(context.new("corp", "https://other.example", None))
    found = context.chosen("corp")
    assert found is not None and (found.url, found.key) == ("https://other.example", None)  # fmt: skip


def test_without_a_context_login_says_what_to_give(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    done = run(monkeypatch, Answers(), "login")
    assert "earthflow login --url https://host" in str(done.exception)
