"""The tutorial as its user goes through it: the author's own template, the same factory as a git folder, secrets."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from kyanite.cli.main import main
from kyanite.runtime.workspace import open_workspace

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "airline"
AUTHORS_TEMPLATE = Path(__file__).resolve().parents[4] / "shared" / "seed" / "adf_deploy.json"
TARGET = 4 * 1_048_576
TELLTALE = """
import sys
print("arguments", sys.argv)
print(open("activity.json").read())
sys.exit("failed with " + sys.argv[2])
"""


class Session:
    """A workspace and everything that commands on it printed."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = home
        self.capsys = capsys
        self.printed = ""

    def __call__(self, *arguments: object) -> tuple[int, str]:
        code = main(["--home", str(self.home), *map(str, arguments)])
        captured = self.capsys.readouterr()
        self.printed += captured.out + captured.err
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out

    def files(self, account: str, folder: str) -> dict[str, str]:
        root = self.home / "storage" / account / "filestorage" / folder
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(root.glob("*.parq*"))}


@pytest.fixture
def session(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Session:
    return Session(tmp_path / "home", capsys)


def fill(session: Session, account: str, files: int = 2) -> None:
    data = EXAMPLE / "data" / "flights.parquet"
    for number in range(files):
        name = f"flights{number}.parq"
        assert session("storage", "put", data, f"{account}/filestorage/input/", "--name", name)[0] == 0
    assert session("storage", "put", EXAMPLE / "splitparquet.py", f"{account}/batchstorage/")[0] == 0


def test_the_authors_own_template_runs_without_an_edit(session: Session) -> None:
    if not AUTHORS_TEMPLATE.is_file() and not os.environ.get("CI"):
        pytest.skip("the author's template is not beside this checkout")
    assert session("deploy", AUTHORS_TEMPLATE, "-p", "uniqueSuffix=lab1")[0] == 0
    fill(session, "delabstoragelab1")
    code, out = session("run", "SampleCopyPipeline", "--json", "--quiet")
    assert code == 0
    document = json.loads(out)
    copied, split = document["activityRuns"]
    assert copied["output"]["rowsRead"] == copied["output"]["rowsCopied"] == 2 * 336_776
    assert split["output"]["exitcode"] == 0
    assert json.loads(split["output"]["computeInformation"])["vmSize"] == "standard_f2s_v2"
    target = session.home / "storage" / "delabstoragelab1" / "filestorage" / "target"
    parts = sorted(target.glob("part*.parq"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 2 * 336_776
    assert max(part.stat().st_size for part in parts) <= TARGET
    start = next((session.home / "batch").rglob("startup/stdout.txt")).read_text()
    assert "pandas" in start and "dask" in start


def test_a_git_folder_gives_the_same_run_as_the_template(session: Session) -> None:
    assert session("deploy", EXAMPLE / "template.json", "-p", "nodes=1", "-p", "partSizeInMB=1")[0] == 0
    fill(session, "airlinestorage", files=1)
    assert session("run", "SampleCopyPipeline", "--quiet")[0] == 0
    from_template = session.files("airlinestorage", "source") | session.files("airlinestorage", "target")
    assert len(from_template) >= 6
    for folder in ("source", "target"):
        shutil.rmtree(session.home / "storage" / "airlinestorage" / "filestorage" / folder)
    code, out = session("run", "SampleCopyPipeline", "--factory", EXAMPLE / "factory", "--json", "--quiet")
    assert code == 0
    assert [row["status"] for row in json.loads(out)["activityRuns"]] == ["Succeeded", "Succeeded"]
    assert session.files("airlinestorage", "source") | session.files("airlinestorage", "target") == from_template


def test_the_storage_key_is_given_to_the_task_and_shown_to_nobody(session: Session, tmp_path: Path) -> None:
    template = json.loads((EXAMPLE / "template.json").read_text(encoding="utf-8"))
    file = tmp_path / "template.json"
    file.write_text(json.dumps(template), encoding="utf-8")
    assert session("deploy", file, "-p", "nodes=1")[0] == 0
    assert "SecretOnCommandLine" in session.printed and "referenceObjects" in session.printed
    fill(session, "airlinestorage", files=1)
    (tmp_path / "splitparquet.py").write_text(TELLTALE, encoding="utf-8")
    assert session("storage", "put", tmp_path / "splitparquet.py", "airlinestorage/batchstorage/")[0] == 0
    assert session("run", "SampleCopyPipeline")[0] == 1
    for command in (
        ("runs", "list", "--json"),
        ("runs", "show", "latest"),
        ("runs", "show", "latest", "--json"),
        ("runs", "logs", "latest"),
        ("validate", "--factory", "airlinefactory"),
        ("validate", "--factory", "airlinefactory", "--json"),
    ):
        session(*command)
    assert "arguments ['splitparquet.py', 'airlinestorage', '***'" in session.printed
    with open_workspace(session.home) as workspace:
        secrets = [
            entry for name in ("key1", "key2") if (entry := workspace.vault.get(f"storage/airlinestorage/{name}"))
        ]
        secrets += [workspace.batch.keys("airlinebatch")["primary"]]
        (task,) = workspace.batch.tasks("airlinebatch", "adfv2-airlinepool")
        raw = workspace.batch.read_file("airlinebatch", "adfv2-airlinepool", task.id, "stdout.txt").decode()
    assert secrets[0] in raw  # the task did get the real key
    forms = [form for secret in secrets for form in shapes(secret)]
    for form in forms:
        assert form not in session.printed
    for stored in session.home.rglob("*"):
        if stored.is_file() and stored.name not in ("secrets.json", "stdout.txt", "stderr.txt"):
            content = stored.read_bytes()
            assert not any(form.encode() in content for form in forms), stored
    for kept in (session.home / "storage").rglob("std*.txt"):
        assert not any(form in kept.read_text() for form in forms), kept


def shapes(secret: str) -> list[str]:
    return [secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode(), json.dumps(secret)[1:-1]]
