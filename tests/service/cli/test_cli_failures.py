"""Bad definitions, bad data, bad pools: every one ends with exit code 1 and a clear text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from git_factory import ACCOUNT, GitFactory, Result, Run, copy, custom, pool_template, set_variable, wait

from kyanite import open_workspace


def refused(result: Result, *texts: str) -> None:
    """The command failed, said so on stderr and named these."""
    assert result.code == 1
    assert result.err.startswith("error: ")
    for text in texts:
        assert text in result.err


def failed(kyanite: Run, result: Result, *texts: str) -> None:
    """The run failed, and run, show and message name these."""
    assert result.code == 1
    assert "Failed" in result.out
    shown = kyanite("runs", "show", "latest").out
    for text in texts:
        assert text in result.out
        assert text in shown


# ---- definitions: nothing starts


def test_broken_json(kyanite: Run, factory: GitFactory) -> None:
    kyanite("init")
    (factory.folder / "pipeline").mkdir()
    (factory.folder / "pipeline" / "P.json").write_text('{"name": "P",\n "properties": {"activities": [}]}}')
    result = kyanite("validate", factory.folder)
    assert result.code == 1
    assert "pipeline/P.json:2:" in result.out
    refused(kyanite("run", "P", "--factory", factory.folder), "P")
    refused(kyanite("deploy", factory.folder), "pipeline/P.json:2:")


def test_missing_dataset(kyanite: Run, filled: GitFactory) -> None:
    (filled.folder / "dataset" / "Source.json").unlink()
    refused(kyanite("run", "Copy", "--factory", filled.folder), "Source", "pipeline/Copy.json")


def test_cycle(kyanite: Run, factory: GitFactory) -> None:
    kyanite("init")
    factory.pipeline("Round", wait("A", 1, "B"), wait("B", 1, "A"))
    refused(kyanite("run", "Round", "--factory", factory.folder), "Round")


def test_unknown_activity_type(kyanite: Run, factory: GitFactory) -> None:
    kyanite("init")
    factory.pipeline("Odd", {"name": "X", "type": "Teleport", "typeProperties": {}})
    refused(kyanite("run", "Odd", "--factory", factory.folder), "Teleport")


def test_unknown_function(kyanite: Run, factory: GitFactory) -> None:
    kyanite("init")
    value = {"value": "@concta('a')", "type": "Expression"}
    factory.pipeline("Words", set_variable("S", "v", value), variables={"v": {"type": "String"}})
    refused(kyanite("run", "Words", "--factory", factory.folder), "concta")


def test_a_pipeline_that_is_not_there(kyanite: Run, factory: GitFactory) -> None:
    kyanite("init")
    factory.pipeline("Load", wait("A", 1))
    refused(kyanite("run", "Laod", "--factory", factory.folder), "Laod", "'Load'")
    refused(kyanite("run", "Load", "--factory", "nowhere"), "nowhere")


# ---- data: the run fails


def test_an_expression_that_fails_at_run_time(kyanite: Run, factory: GitFactory) -> None:
    kyanite("init")
    value = {"value": "@string(div(1, 0))", "type": "Expression"}
    factory.pipeline("Div", set_variable("S", "v", value), variables={"v": {"type": "String"}})
    failed(kyanite, kyanite("run", "Div", "--factory", factory.folder), "div")


def test_a_wildcard_that_matches_nothing(kyanite: Run, filled: GitFactory) -> None:
    filled.copy_pipeline("*.nothing")
    failed(kyanite, kyanite("run", "Copy", "--factory", filled.folder), "No file matches the wildcard")
    assert kyanite("storage", "ls", f"{ACCOUNT}/data/out/all.parquet").code == 1


def test_a_file_that_is_not_there(kyanite: Run, filled: GitFactory) -> None:
    filled.parquet("Source", "in", "none.parquet")
    static = copy("*")
    del static["typeProperties"]["source"]["storeSettings"]["wildcardFileName"]
    filled.pipeline("Copy", static)
    failed(kyanite, kyanite("run", "Copy", "--factory", filled.folder), "in/none.parquet")


def test_a_corrupt_parquet_file(kyanite: Run, filled: GitFactory, tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    kyanite("storage", "put", tmp_path / "bad.parquet", f"{ACCOUNT}/data/in/")
    failed(kyanite, kyanite("run", "Copy", "--factory", filled.folder), "bad.parquet")
    assert kyanite("storage", "ls", f"{ACCOUNT}/data/out/all.parquet").code == 1


def test_a_wrong_account_key(kyanite: Run, filled: GitFactory) -> None:
    key = "dGhpcyBpcyBub3QgdGhlIGtleSBvZiB0aGUgYWNjb3VudA=="
    filled.storage(key=key)
    result = kyanite("run", "Copy", "--factory", filled.folder)
    failed(kyanite, result, "AuthenticationFailed")
    everything = result.out + result.err + kyanite("runs", "show", "latest", "--json").out
    assert key not in everything


# ---- pools


@pytest.fixture
def pool(kyanite: Run, factory: GitFactory, tmp_path: Path) -> GitFactory:
    """A workspace with a pool of one node, and a factory that uses it."""
    template = tmp_path / "pool.json"
    template.write_text(json.dumps(pool_template(1)), encoding="utf-8")
    assert kyanite("deploy", template, "--quiet").code == 0
    factory.storage()
    factory.batch()
    return factory


def test_a_task_and_its_logs(kyanite: Run, pool: GitFactory) -> None:
    pool.pipeline("T", custom("/bin/sh -c 'echo to stdout; echo to stderr >&2'"))
    result = kyanite("run", "T", "--factory", pool.folder)
    assert result.code == 0, result.err + result.out
    assert "exit code 0" in result.out
    logs = kyanite("runs", "logs", "latest")
    assert logs.code == 0
    assert "==> Task stdout.txt\nto stdout\n" in logs.out
    assert "==> Task stderr.txt\nto stderr\n" in logs.out
    assert kyanite("runs", "logs", "latest", "--activity", "Task", "--follow").out == logs.out
    refused(kyanite("runs", "logs", "latest", "--activity", "Nope"), "Nope")
    texts = json.loads(kyanite("runs", "logs", "latest", "--json").out)
    assert {text["name"]: text["text"] for text in texts} == {"stdout.txt": "to stdout\n", "stderr.txt": "to stderr\n"}


def test_a_task_that_fails_shows_its_stderr(kyanite: Run, pool: GitFactory) -> None:
    pool.pipeline("T", custom("/bin/sh -c 'echo the disk is purple >&2; exit 7'"))
    failed(kyanite, kyanite("run", "T", "--factory", pool.folder), "2500", "the disk is purple")


def test_a_command_that_is_not_found(kyanite: Run, pool: GitFactory) -> None:
    pool.pipeline("T", custom("no-such-program --x"))
    failed(kyanite, kyanite("run", "T", "--factory", pool.folder), "2500", "no-such-program")


def test_a_pool_that_does_not_exist(kyanite: Run, pool: GitFactory) -> None:
    pool.batch(pool="other")
    pool.pipeline("T", custom("true"))
    failed(kyanite, kyanite("run", "T", "--factory", pool.folder), "other")


def test_a_pool_without_nodes_ends_at_the_timeout(kyanite: Run, factory: GitFactory, tmp_path: Path) -> None:
    template = tmp_path / "pool.json"
    template.write_text(json.dumps(pool_template(0)), encoding="utf-8")
    kyanite("deploy", template, "--quiet")
    factory.storage()
    factory.batch()
    factory.pipeline("T", custom("true", timeout="0.00:00:02"))
    result = kyanite("run", "T", "--factory", factory.folder)
    assert result.code == 1
    assert "Failed" in result.out or "TimedOut" in result.out


def test_a_secret_of_the_workspace_is_not_printed_by_a_task(kyanite: Run, pool: GitFactory, home: Path) -> None:
    with open_workspace(home) as workspace:
        account = workspace.accounts.get(ACCOUNT)
        assert account is not None
        key = account.keys[0]
    pool.pipeline("T", custom(f"/bin/echo {key}"))
    run = kyanite("run", "T", "--factory", pool.folder)
    assert run.code == 0, run.err + run.out
    shown = [
        run,
        kyanite("runs", "logs", "latest"),
        kyanite("runs", "logs", "latest", "--json"),
        kyanite("runs", "show", "latest"),
        kyanite("runs", "show", "latest", "--json"),
    ]
    assert all(key not in result.out + result.err for result in shown)
    assert "***" in shown[1].out
