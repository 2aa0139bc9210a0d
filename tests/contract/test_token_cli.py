"""`kyanite token`: what it prints is accepted by a server, with the role that was asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from kyanite.cli.main import main
from kyanite.runtime.clock import utc_now
from kyanite.runtime.workspace import open_workspace
from kyanite.server.principals import client
from kyanite.server.tokens import AuthenticationError, verify_token


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert main(["--home", str(tmp_path / "home"), "init"]) == 0
    return tmp_path / "home"


def printed(home: Path, capsys: pytest.CaptureFixture[str], *line: str) -> str:
    capsys.readouterr()
    assert main(["--home", str(home), "token", *line]) == 0
    return capsys.readouterr().out.strip()


def test_a_token_of_a_role_for_a_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = printed(home, capsys, "nightly", "--role", "operator", "--for", "12h")
    with open_workspace(home) as workspace:
        identity = verify_token(workspace.vault, token, now=utc_now() + timedelta(hours=11))
        assert (identity.name, identity.may("operator"), identity.may("author")) == ("nightly", True, False)
        with pytest.raises(AuthenticationError, match="expired"):
            verify_token(workspace.vault, token, now=utc_now() + timedelta(hours=13))


def test_a_client_and_its_secret(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(home, capsys, "ci", "--role", "author", "--client", "--json"))
    assert json.loads(printed(home, capsys, "ci", "--role", "author", "--client", "--json")) == found
    with open_workspace(home) as workspace:
        identity = client(workspace.vault, found["clientId"], found["clientSecret"])
        assert identity is not None and identity.roles == {"author"}
        assert client(workspace.vault, "other", found["clientSecret"]) is None
        assert client(workspace.vault, "../author/ci", found["clientSecret"]) is None


@pytest.mark.parametrize("line", [["--for", "0d"], ["--for", "1y"], ["--for", "366d"], ["a/b", "--client"]])
def test_odd_wishes_are_refused(home: Path, line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(home), "token", *line]) == 1
    assert "error:" in capsys.readouterr().err
