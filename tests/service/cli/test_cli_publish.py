"""`kyanite diff`, `publish` and `audit` on a real workspace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kyanite.cli.main import main
from kyanite.runtime.workspace import open_workspace
from kyanite.server.management.audit import AuditEntry, append


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "repository"
    write(made, 1)
    monkeypatch.setenv("KYANITE_HOME", str(tmp_path / "home"))
    return made


def write(folder: Path, seconds: int) -> None:
    activity = {"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": seconds}}
    (folder / "pipeline").mkdir(parents=True, exist_ok=True)
    (folder / "pipeline" / "P.json").write_text(
        json.dumps({"name": "P", "properties": {"activities": [activity]}}, indent=2), "utf-8"
    )


def test_diff_and_publish(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["publish", str(folder), "--factory-name", "mine"]) == 0
    out = capsys.readouterr().out
    assert "added    pipeline/P.json" in out
    assert "factory  mine  published" in out
    monkeypatch.chdir(folder)
    assert main(["diff", "--factory-name", "mine", "--exit-code"]) == 0
    assert "no difference" in capsys.readouterr().out
    write(folder, 5)
    assert main(["diff", "--factory-name", "mine"]) == 0
    out = capsys.readouterr().out
    assert '-          "waitTimeInSeconds": 1' in out
    assert '+          "waitTimeInSeconds": 5' in out
    assert main(["diff", "--factory-name", "mine", "--exit-code", "--names"]) == 1
    assert capsys.readouterr().out == "changed  pipeline/P.json\n"
    assert main(["diff", "--factory-name", "mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["change"]) for each in found["differences"]] == [("P", "changed")]
    assert main(["publish", "--factory-name", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["factory"] == "mine"
    assert main(["publish", "--factory-name", "mine"]) == 0
    assert "is published already" in capsys.readouterr().out


def test_diff_without_a_workspace_or_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(folder)]) == 1
    assert main(["publish", str(folder / "nothing")]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_audit(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with open_workspace(tmp_path / "home", create=True) as workspace:
        for number, (who, result, code) in enumerate((("owner", 200, ""), ("somebody", 403, "AuthorizationFailed"))):
            entry = AuditEntry(
                at=f"2024-01-31T0{number}:00:00.000000Z",
                who=who,
                kind="user",
                client="127.0.0.1",
                method="PUT",
                operation="Pipelines_CreateOrUpdate",
                target="/subscriptions/s",
                result=result,
                code=code,
                request_id="r",
            )
            append(workspace.database, entry)
    assert main(["audit"]) == 0
    out = capsys.readouterr().out
    assert "403 AuthorizationFailed" in out
    assert "2024-01-31 00:00:00" in out
    assert main(["audit", "--json", "--refused"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["who"] for line in lines] == ["somebody"]
    assert main(["audit", "--json", "--since", "2024-01-31T00:30:00", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main(["audit", "--json", "--who", "owner", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == 200
