"""rerun, explain and eval --run on real runs: a file in the storage account says what really failed and ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from git_factory import ACCOUNT, GitFactory, Run, depends, set_variable

from kyanite.runtime.rerun import RerunMode, rerun
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace

SECRET = "v3ry-secret-word"


def copy_file(name: str, file: Any, *after: str) -> dict[str, Any]:
    """A Copy of `data/in/FILE` to `data/out/FILE`; it fails when the file is not there."""

    def dataset(folder: str) -> list[dict[str, Any]]:
        parameters = {"folder": folder, "file": file}
        return [{"referenceName": "File", "type": "DatasetReference", "parameters": parameters}]

    return {
        "name": name,
        "type": "Copy",
        "dependsOn": depends(*after),
        "inputs": dataset("in"),
        "outputs": dataset("out"),
        "typeProperties": {
            "source": {"type": "ParquetSource", "storeSettings": {"type": "AzureBlobStorageReadSettings"}},
            "sink": {"type": "ParquetSink", "storeSettings": {"type": "AzureBlobStorageWriteSettings"}},
        },
    }


def expression(text: str) -> dict[str, str]:
    return {"value": text, "type": "Expression"}


@pytest.fixture
def prepared(kyanite: Run, factory: GitFactory, parquet_file: Path) -> GitFactory:
    """A factory whose pipeline copies `first`, then `a` and `b` in a loop; `b` is missing."""
    assert kyanite("init", "--account", ACCOUNT).code == 0
    for name in ("first", "a"):
        assert kyanite("storage", "put", parquet_file, f"{ACCOUNT}/data/in/", "--name", name).code == 0
    factory.storage()
    location = {
        "type": "AzureBlobStorageLocation",
        "container": "data",
        "folderPath": expression("@dataset().folder"),
        "fileName": expression("@dataset().file"),
    }
    factory.write(
        "dataset",
        "File",
        {
            "type": "Parquet",
            "linkedServiceName": {"referenceName": "Store", "type": "LinkedServiceReference"},
            "parameters": {"folder": {"type": "string"}, "file": {"type": "string"}},
            "typeProperties": {"location": location},
        },
    )
    factory.pipeline(
        "Load",
        copy_file("First", "first"),
        {
            "name": "Loop",
            "type": "ForEach",
            "dependsOn": depends("First"),
            "typeProperties": {
                "items": expression("@pipeline().parameters.files"),
                "activities": [copy_file("Each", expression("@item()"))],
            },
        },
        set_variable("Set", "v", expression("@concat(pipeline().parameters.word, '/', pipeline().RunId)"), "Loop"),
        parameters={
            "files": {"type": "Array", "defaultValue": ["a", "b"]},
            "word": {"type": "SecureString", "defaultValue": SECRET},
        },
        variables={"v": {"type": "String"}},
    )
    return factory


@pytest.fixture
def failed(kyanite: Run, prepared: GitFactory) -> str:
    """The id of a run in which the iteration of `b` failed."""
    result = kyanite("run", "Load", "--factory", prepared.folder, "--json", "--quiet")
    assert result.code == 1
    return str(json.loads(result.out)["pipelineRun"]["runId"])


def rows(out: str) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in json.loads(out)["activityRuns"]}


def put(kyanite: Run, parquet_file: Path, name: str) -> None:
    assert kyanite("storage", "put", parquet_file, f"{ACCOUNT}/data/in/", "--name", name).code == 0


@pytest.mark.parametrize("option", [["--from-failure"], ["--failed-iterations"], ["--failed-iterations", "loop"]])
def test_what_failed_runs_again_and_the_rest_is_reused(
    kyanite: Run, failed: str, parquet_file: Path, option: list[str]
) -> None:
    put(kyanite, parquet_file, "b")
    result = kyanite("runs", "rerun", "latest", *option, "--json", "--quiet")
    assert result.code == 0, result.err + result.out
    document = json.loads(result.out)["pipelineRun"]
    assert (document["runGroupId"], document["isLatest"]) == (failed, True)
    old = rows(kyanite("runs", "show", failed, "--json").out)
    new = rows(result.out)
    assert {path for path, row in new.items() if "reusedFrom" in row} == {"First", "Loop/0/Each"}
    reference = {"pipelineRunId": failed, "activityRunId": old["First"]["activityRunId"]}
    assert new["First"]["reusedFrom"] == reference
    assert new["First"]["output"] == old["First"]["output"]
    assert json.loads(kyanite("runs", "show", failed, "--json").out)["pipelineRun"]["isLatest"] is False
    shown = kyanite("runs", "show", "latest")
    assert f"reused from run {failed[:8]}" in shown.out


def test_a_rerun_is_shown_live_and_again_fails_when_nothing_changed(kyanite: Run, failed: str) -> None:
    result = kyanite("runs", "rerun", failed[:8], "--from-failure")
    assert result.code == 1
    assert f"First (Copy) Succeeded in 0.00 s: reused from run {failed[:8]}" in result.out
    assert "message   Operation on target Loop failed" in result.out
    whole = kyanite("runs", "rerun", failed, "--json", "--quiet")
    assert not any("reusedFrom" in row for row in rows(whole.out).values())
    assert json.loads(whole.out)["pipelineRun"]["runGroupId"] == failed


def test_new_parameters_make_an_unrelated_run(kyanite: Run, failed: str) -> None:
    result = kyanite("runs", "rerun", failed, "-p", 'FILES=["a"]', "--json", "--quiet")
    assert result.code == 0, result.err
    document = json.loads(result.out)["pipelineRun"]
    assert document["runGroupId"] == document["runId"] != failed
    assert (document["parameters"]["files"], document["parameters"]["word"]) == ('["a"]', "***")
    refused = kyanite("runs", "rerun", failed, "--from-failure", "-p", 'files=["a"]')
    assert refused.code == 1 and "new parameters" in refused.err


def test_deployed_definitions_on_request(kyanite: Run, prepared: GitFactory, failed: str) -> None:
    no = kyanite("runs", "rerun", failed, "--latest-definitions", "--quiet")
    assert no.code == 1 and "There is no factory" in no.err
    file = prepared.folder / "pipeline" / "Load.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"@item()"', '"a"'), encoding="utf-8")
    assert kyanite("deploy", prepared.folder, "--factory-name", prepared.folder.name).code == 0
    assert kyanite("runs", "rerun", failed, "--from-failure", "--quiet").code == 1
    result = kyanite("runs", "rerun", failed, "--from-failure", "--latest-definitions", "--json", "--quiet")
    assert result.code == 0, result.out
    # the activity in the loop is another one now, so no iteration of it stands
    assert {path for path, row in rows(result.out).items() if "reusedFrom" in row} == {"First"}


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--from", "each"], 1, "'each' is inside 'Loop' (ForEach)"),
        (["--from", "Set"], 1, "would be skipped again"),
        (["--from", "Nope"], 1, "has no activity 'Nope'"),
        (["--failed-iterations", "Nope"], 1, "No ForEach 'Nope'"),
        (["--from-failure", "--from", "First"], 2, "Give one of"),
    ],
)
def test_impossible_points_are_refused(kyanite: Run, failed: str, options: list[str], code: int, expected: str) -> None:
    result = kyanite("runs", "rerun", failed, *options)
    assert result.code == code and expected in result.err
    assert len(json.loads(kyanite("runs", "list", "--json").out)) == 1


def test_a_good_run_has_nothing_that_failed(kyanite: Run, failed: str) -> None:
    assert kyanite("runs", "rerun", failed, "-p", 'files=["a"]', "--quiet").code == 0
    assert "Nothing failed" in kyanite("runs", "rerun", "latest", "--from-failure").err
    again = kyanite("runs", "rerun", "latest", "--from", "loop", "--json", "--quiet")
    assert again.code == 0
    assert {path for path, row in rows(again.out).items() if "reusedFrom" in row} == {"First"}


def test_explain_tells_the_leaf_and_the_iteration(kyanite: Run, failed: str) -> None:
    out = kyanite("runs", "explain", "latest").out
    assert "'Set' is a leaf; 'Set' was Skipped" in out
    assert "'Loop/1/Each' decided" in out
    assert "iteration 1 (item b) failed at 'Each'" in out
    assert "Loop/0/Each" not in out and "(--all shows them)" in out
    assert "Loop/0/Each" in kyanite("runs", "explain", "latest", "--all").out
    assert "Loop/0/Each" in kyanite("runs", "explain", "latest", "--activity", "each").out
    document = json.loads(kyanite("runs", "explain", failed, "--json").out)
    assert document["decidedBy"] == "Loop/1/Each"
    assert {item["path"]: item["status"] for item in document["activities"]}["Set"] == "Skipped"
    assert kyanite("runs", "explain", "latest", "--activity", "nope").code == 1


def test_expressions_see_what_an_activity_saw(kyanite: Run, failed: str) -> None:
    at = ["--run", "latest", "--activity", "Each", "--iteration", "1"]
    assert kyanite("eval", "@item()", *at).out == "b\n"
    assert kyanite("eval", "@concat(activity('First').Status, item())", *at).out == "Succeededb\n"
    assert kyanite("eval", "@item()", "--run", failed, "--activity", "loop/0/each").out == "a\n"
    assert kyanite("eval", "@pipeline().RunId", "--run", failed[:8]).out == f"{failed}\n"
    assert kyanite("eval", "@activity('Loop').Status", "--run", "latest").out == "Failed\n"
    assert kyanite("eval", "@activity('First').Status", "--run", "latest", "--activity", "First").code == 1
    several = kyanite("eval", "@item()", "--run", "latest", "--activity", "Each")
    assert several.code == 1 and "Loop/0/Each, Loop/1/Each" in several.err
    assert "Known are: First, Loop" in kyanite("eval", "@item()", "--run", "latest", "--activity", "X").err
    assert kyanite("eval", "@item()", "--activity", "X").code == 2


def test_expressions_of_a_run_do_not_tell_secrets(kyanite: Run, failed: str) -> None:
    for text in ("@pipeline().parameters.word", "@toUpper(pipeline().parameters.word)", "@base64(pipeline())"):
        result = kyanite("eval", text, "--run", "latest", "--trace", "--json")
        assert result.code == 0 or "base64" in text
        assert SECRET not in result.out and SECRET.upper() not in result.out
    assert kyanite("eval", "@pipeline().parameters.word", "--run", "latest", "-p", "word=mine").out == "mine\n"


def test_the_trace_is_a_tree(kyanite: Run, failed: str) -> None:
    out = kyanite("eval", "@if(equals(item(), 'b'), length(item()), div(1, 0))", "--run", "latest", "--activity",
                  "Loop/1/Each", "--trace").out  # fmt: skip
    assert out.splitlines()[1:6] == [
        "├─ equals(item(), 'b') = true",
        '│  └─ item() = "b"',
        "├─ length(item()) = 1",
        '│  └─ item() = "b"',
        "└─ div(1, 0) (not evaluated)",
    ]
    assert out.splitlines()[-1] == "1"
    document = json.loads(kyanite("eval", "@item()", "--run", "latest", "--activity", "Loop/1/Each", "--json").out)
    assert document == {"value": "b", "type": "String", "trace": {"text": "@item()", "value": "b"}}


def test_reused_outputs_stay_sealed(kyanite: Run, factory: GitFactory, home: Path) -> None:
    """The output of an activity holds a secret: it is in no file of the workspace but the vault, reused or not."""
    factory.storage()
    factory.batch()
    reference = {"referenceName": "Batch", "type": "LinkedServiceReference"}
    task = {"name": "Task", "type": "Custom", "linkedServiceName": reference, "typeProperties": {"command": "x"}}
    bad = {
        "name": "Bad",
        "type": "Fail",
        "dependsOn": depends("Task"),
        "typeProperties": {"message": expression("@activity('Task').output.word"), "errorCode": "E"},
    }
    word = {"word": {"type": "SecureString", "defaultValue": SECRET}}
    factory.pipeline("P", task, bad, parameters=word)
    kyanite("init")
    with open_workspace(home) as workspace:
        run_id = start_run(workspace, workspace.factory(factory.folder), "P")
        assert Worker(workspace, activities={"Custom": lambda context: {"word": SECRET}}).run(run_id) == "Failed"
        again = rerun(workspace, run_id, mode=RerunMode.FROM_FAILURE)
        assert Worker(workspace, activities={}).run(again) == "Failed"
        assert workspace.store.read(again)[0].body["rerun"]["reuse"]["Task"]["output"] == {"word": SECRET}
        masked = workspace.store.history(again)[0].body["rerun"]
        assert masked["reuse"]["Task"]["output"] == {"word": "***"}
    assert rows(kyanite("runs", "show", again, "--json").out)["Bad"]["error"]["message"] == "***"
    assert SECRET not in kyanite("runs", "explain", again).out + kyanite("runs", "explain", again, "--json").out
    for file in home.glob("kyanite.db*"):
        assert SECRET.encode() not in file.read_bytes()
