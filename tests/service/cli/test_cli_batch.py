"""`kyanite batch` on a real workspace: one pool with one prepared node for the whole module, no server."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_factory import Result

from kyanite.cli.main import main

Batch = Callable[..., Result]


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batch") / "home"


@pytest.fixture(scope="module")
def prepared(module_home: Path) -> Iterator[Path]:
    """An account, a pool of one node with two slots that is ready, and a job."""
    for line in (
        ["account", "create", "acct"],
        ["pool", "create", "pool", "--slots", "2", "--start-task", "/bin/sh -c 'echo prepared'", "--wait"],
        ["job", "create", "job", "--pool", "pool", "--dependencies", "--env", "SHARED=yes"],
    ):
        assert main(["--home", str(module_home), "batch", *line]) == 0
    yield module_home
    for line in (["job", "delete", "job"], ["pool", "delete", "pool", "--wait"]):
        main(["--home", str(module_home), "batch", *line])


@pytest.fixture
def batch(prepared: Path, capsys: pytest.CaptureFixture[str]) -> Batch:
    def run(*arguments: object, home: Path = prepared) -> Result:
        code = main(["--home", str(home), "batch", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert code != 70, captured.err
        return Result(code, captured.out, captured.err)

    return run


def documents(result: Result) -> dict:
    assert result.code == 0, result.err
    return json.loads(result.out)


# ---- accounts


def test_accounts_are_made_listed_and_deleted(batch: Batch, tmp_path: Path) -> None:
    home = tmp_path / "other"
    assert "There is no workspace" in batch("account", "list", home=home).err or not home.exists()
    assert batch("account", "create", "first", home=home).out == "account first\n"
    found = documents(batch("account", "list", "--json", home=home))
    assert [(item["name"], item["pools"], item["jobs"]) for item in found] == [("first", 0, 0)]
    assert batch("pool", "list", home=home).out == "no pools\n"
    batch("account", "create", "second", home=home)
    several = batch("pool", "list", home=home)
    assert (several.code, "Name one with --account: first, second." in several.err) == (1, True)
    assert batch("account", "delete", "second", home=home).code == 0
    near = batch("account", "show", "firts", home=home)
    assert (near.code, "Did you mean 'first'?" in near.err) == (1, True)


def test_keys_are_printed_when_asked_for_and_masked_elsewhere(batch: Batch) -> None:
    keys = documents(batch("account", "keys", "--json"))
    assert batch("account", "keys", "acct", "--primary").out == keys["primary"] + "\n"
    assert len(keys["primary"]) > 40
    again = documents(batch("account", "keys", "--regenerate", "secondary", "--json"))
    assert again["primary"] == keys["primary"] and again["secondary"] != keys["secondary"]
    shown = batch("task", "create", "job", "leak", "--wait", "--", "echo", keys["primary"])
    assert keys["primary"] not in shown.out + shown.err
    assert "***" in shown.out


# ---- pools and nodes


def test_a_pool_and_its_node_are_shown(batch: Batch) -> None:
    assert "pool  active  steady" in batch("pool", "list").out
    document = documents(batch("pool", "show", "pool", "--json"))
    assert (document["id"], document["currentDedicatedNodes"], document["taskSlotsPerNode"]) == ("pool", 1, 2)
    assert "start task      /bin/sh -c 'echo prepared'" in batch("pool", "show", "pool").out
    (node,) = documents(batch("node", "list", "pool", "--json"))
    assert (node["id"], node["state"], node["startTaskInfo"]["exitCode"]) == ("tvm-0001", "idle", 0)
    assert "tvm-0001  idle" in batch("node", "list", "pool").out
    assert "start task    completed success" in batch("node", "show", "pool", "tvm-0001").out
    assert batch("node", "get", "pool", "tvm-0001", "startup/stdout.txt").out == "prepared\n"
    names = [item["name"] for item in documents(batch("node", "files", "pool", "tvm-0001", "--json"))]
    assert {"shared", "startup", "workitems"} <= set(names)


def test_scheduling_of_a_node_is_turned_off_and_on(batch: Batch) -> None:
    assert batch("node", "disable", "pool", "tvm-0001").out == "node tvm-0001: scheduling disabled\n"
    waiting = batch("task", "create", "job", "held", "--", "true")
    assert waiting.code == 0
    why = batch("explain", "job/held")
    assert why.code == 0 and "task job/held: active" in why.out
    again = batch("node", "disable", "pool", "tvm-0001")
    assert (again.code, "NodeAlready" in again.err or "already" in again.err) == (1, True)
    assert batch("node", "enable", "pool", "tvm-0001").out == "node tvm-0001: scheduling enabled\n"
    assert batch("task", "wait", "job", "held", "--timeout", "30").code == 0


def test_wrong_names_say_what_was_meant(batch: Batch) -> None:
    missing = batch("pool", "show", "poll", "--json")
    assert (missing.code, json.loads(missing.out)["error"]["code"]) == (1, "PoolNotFound")
    assert "Did you mean 'pool'?" in missing.err
    assert "Did you mean 'job'?" in batch("job", "show", "jobb").err
    assert batch("node", "show", "pool", "tvm-0009").code == 1
    assert batch("task", "show", "job", "nothing").code == 1
    assert "Did you mean pool" in batch("pol").err


def test_the_command_line_is_checked(batch: Batch) -> None:
    assert batch("pool", "resize", "pool").code == 2
    assert batch("pool", "create", "x", "--metadata", "nonsense").code == 2
    assert batch("pool", "create", "x", "--endpoint", "https://x").code == 2
    assert batch("task", "get", "job", "t", "stdout.txt", "--range", "abc").code == 2
    assert batch("job", "update", "job").code == 2
    assert batch("pool", "create", "a b").code == 1


# ---- tasks


def test_job_and_task_may_be_one_word(batch: Batch) -> None:
    assert batch("task", "create", "job", "oneword", "--wait", "--", "echo", "hello").code == 0
    two, one = batch("task", "show", "job", "oneword"), batch("task", "show", "job/oneword")
    assert (one.code, one.out) == (0, two.out)
    assert batch("task", "logs", "--account", "acct", "job/oneword").out == "hello\n"
    assert batch("task", "get", "job/oneword", "wd/../stdout.txt").code == 1
    assert batch("task", "get", "job/oneword", "stdout.txt", "--range", "1-2").out == "el"
    assert "Usage: kyanite batch task get [OPTIONS] JOB/TASK PATH" in batch("task", "get", "--help").out
    assert batch("task", "show", "job").code == 2
    assert batch("task", "delete", "job/oneword").code == 0
    assert batch("task", "show", "job/oneword").code == 1


def test_a_task_runs_and_its_output_is_printed(batch: Batch) -> None:
    done = batch(
        "task",
        "create",
        "job",
        "hello",
        "--wait",
        "--env",
        "OWN=1",
        "--",
        "/bin/sh",
        "-c",
        "echo $SHARED $OWN; echo oh >&2",
    )
    assert (done.code, done.out) == (0, "yes 1\noh\n")
    document = documents(batch("task", "show", "job", "hello", "--json"))
    assert document["executionInfo"]["exitCode"] == 0
    assert document["commandLine"] == "/bin/sh -c 'echo $SHARED $OWN; echo oh >&2'"
    assert "hello  completed  success  " in batch("task", "list", "job").out
    assert batch("task", "logs", "job", "hello").out == "yes 1\n"
    assert batch("task", "logs", "job", "hello", "--stderr").out == "oh\n"
    assert documents(batch("task", "logs", "job", "hello", "--json")) == {"name": "stdout.txt", "text": "yes 1\n"}
    assert "It succeeded on node tvm-0001 with exit code 0." in batch("explain", "hello").out
    taken = batch("task", "create", "job", "hello", "--json", "--", "true")
    assert (taken.code, json.loads(taken.out)["error"]["code"]) == (1, "TaskExists")


def test_a_failed_task_is_exit_code_1_and_explained(batch: Batch) -> None:
    done = batch("task", "create", "job", "broken", "--wait", "--", "/bin/sh", "-c", "exit 3")
    assert done.code == 1
    assert "failure    FailureExitCode: " in done.out
    assert batch("task", "create", "job", "broken-json", "--wait", "--json", "--", "false").code == 1
    failed = documents(batch("task", "list", "job", "--failed", "--json"))
    assert {"broken", "broken-json"} <= {item["id"] for item in failed}
    assert "It failed with exit code 3: " in batch("explain", "job/broken").out
    assert batch("task", "reactivate", "job", "broken").out == "task broken: active\n"
    assert batch("task", "wait", "job", "broken").code == 1


def test_files_are_listed_printed_by_range_and_saved(batch: Batch, tmp_path: Path) -> None:
    batch(
        "task",
        "create",
        "job",
        "writer",
        "--wait",
        "--",
        "/bin/sh",
        "-c",
        "printf 0123456789; mkdir d; printf abc > d/x.bin",
    )
    listing = documents(batch("task", "files", "job", "writer", "-r", "--json"))
    sizes = {item["name"]: item.get("properties", {}).get("contentLength") for item in listing}
    assert (sizes["stdout.txt"], sizes["wd/d/x.bin"], sizes["wd"]) == ("10", "3", None)
    assert "wd/d/x.bin      3" in batch("task", "files", "job", "writer", "-r").out
    assert batch("task", "get", "job", "writer", "stdout.txt", "--range", "2-4").out == "234"
    assert batch("task", "get", "job", "writer", "stdout.txt", "--range", "7-").out == "789"
    assert batch("task", "get", "job", "writer", "stdout.txt", "--range", "-2").out == "89"
    assert batch("task", "get", "job", "writer", "stdout.txt", "--range", "20-30").out == ""
    saved = tmp_path / "x.bin"
    assert batch("task", "get", "job", "writer", "wd/d/x.bin", "-o", saved).code == 0
    assert saved.read_bytes() == b"abc"
    for path in ("wd/none", "../../../../kyanite.db", "/etc/passwd"):
        assert batch("task", "get", "job", "writer", path).code == 1


def test_logs_follow_a_task_until_it_ends(batch: Batch) -> None:
    batch("task", "create", "job", "slow", "--", "/bin/sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.1; done")
    assert batch("task", "logs", "job", "slow", "-f").out == "1\n2\n3\n"
    assert documents(batch("task", "show", "job", "slow", "--json"))["state"] == "completed"


def test_dependencies_and_waiting_for_a_job(batch: Batch) -> None:
    batch("job", "create", "chain", "--pool", "pool", "--dependencies", "--priority", "5")
    batch("task", "create", "chain", "b", "--after", "a", "--", "true")
    assert "a" in batch("explain", "chain/b").out
    timed_out = batch("job", "wait", "chain", "--timeout", "0.2")
    assert (timed_out.code, "is not done after 0.2 s" in timed_out.err) == (1, True)
    batch("task", "create", "chain", "a", "--", "true")
    assert (
        batch("job", "wait", "chain", "--timeout", "30").out
        == "job chain: 0 active, 0 running, 2 succeeded, 0 failed\n"
    )
    assert "0 active, 0 running, 2 succeeded, 0 failed" in batch("job", "show", "chain").out
    document = documents(batch("job", "show", "chain", "--json"))
    assert (document["priority"], document["taskCounts"]["succeeded"]) == (5, 2)
    assert batch("job", "update", "chain", "--priority", "7").code == 0
    assert batch("job", "disable", "chain").code == 0
    assert batch("job", "enable", "chain").out == "job chain: active\n"
    assert batch("job", "terminate", "chain", "--reason", "enough").code == 0
    assert documents(batch("job", "show", "chain", "--json"))["executionInfo"]["terminateReason"] == "enough"
    late = batch("task", "create", "chain", "c", "--", "true")
    assert late.code == 1
    assert batch("job", "delete", "chain", "--wait").out == "deleted chain\n"
    assert batch("job", "show", "chain").code == 1


def test_a_task_is_stopped_and_deleted(batch: Batch) -> None:
    batch("task", "create", "job", "long", "--", "sleep", "60")
    assert batch("task", "terminate", "job", "long").code == 0
    assert batch("task", "wait", "job", "long", "--timeout", "30").code == 1
    assert "TaskEnded" in batch("task", "show", "job", "long").out
    assert batch("task", "delete", "job", "long").code == 0
    assert batch("task", "show", "job", "long").code == 1


def test_a_task_without_a_pool_says_so(batch: Batch) -> None:
    batch("job", "create", "nowhere", "--pool", "pooll")
    batch("task", "create", "nowhere", "only", "--", "true")
    why = batch("explain", "only")
    assert "There is no pool 'pooll'" in why.out
    assert "Did you mean 'pool'?" in why.out
    reasons = documents(batch("explain", "nowhere/only", "--json"))["reasons"]
    assert (reasons[0]["code"], reasons[0]["hopeless"]) == ("PoolNotFound", True)
    several = batch("explain", "none-such")
    assert several.code == 1
    batch("job", "delete", "nowhere")


# ---- autoscale


def test_a_formula_is_tried_enabled_and_disabled(batch: Batch, tmp_path: Path) -> None:
    batch("pool", "create", "auto", "--autoscale", "$TargetDedicatedNodes = 0;")
    tried = batch("pool", "autoscale", "evaluate", "auto", "$TargetDedicatedNodes = 2 + $PendingTasks; x = 1.5")
    assert tried.code == 0
    assert tried.out.splitlines() == [
        "$TargetDedicatedNodes=2",
        "$TargetLowPriorityNodes=0",
        "$NodeDeallocationOption=requeue",
        "x=1.5",
    ]
    wrong = batch("pool", "autoscale", "evaluate", "pool", "$TargetDedicatedNodes = $PendingTask;")
    assert wrong.code == 1
    assert wrong.err.splitlines()[:2] == ["  $TargetDedicatedNodes = $PendingTask;", "                          ^"]
    assert "Did you mean $PendingTasks" in wrong.err
    formula = tmp_path / "formula.txt"
    formula.write_text("$TargetDedicatedNodes =\n  $FailedTasks.GetSample(TimeInterval_Hour, 100);")
    failed = batch("pool", "autoscale", "evaluate", "auto", f"@{formula}", "--json")
    assert (failed.code, json.loads(failed.out)["error"]["code"]) == (1, "InsufficientSampleData")
    short = batch("pool", "autoscale", "enable", "auto", "$TargetDedicatedNodes = 0;", "--every", "2")
    assert short.out == "pool auto: autoscale every 2 s\n"
    document = documents(batch("pool", "show", "auto", "--json"))
    assert document["metadata"] == [{"name": "kyanite.autoscaleSeconds", "value": "2"}]
    again = batch("pool", "autoscale", "enable", "auto", "--every", "300", "--json")
    assert (again.code, json.loads(again.out)["error"]["code"]) == (1, "AutoScaleTooManyRequestsToEnable")
    assert (document["enableAutoScale"], document["autoScaleEvaluationInterval"]) == (True, "PT5M")
    assert documents(batch("pool", "autoscale", "runs", "auto", "--json"))[0]["results"].startswith("$TargetDedicated")
    assert "$TargetDedicatedNodes=0" in batch("pool", "autoscale", "runs", "auto").out
    assert batch("pool", "resize", "auto", "--nodes", "1").code == 1
    assert batch("pool", "autoscale", "disable", "auto").out == "pool auto: autoscale is off\n"
    assert batch("pool", "delete", "auto", "--wait").out == "deleted auto\n"


# ---- schedules


def test_a_schedule_makes_its_job(batch: Batch, tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    specification = {"poolInfo": {"poolId": "pool"}, "jobManagerTask": {"id": "jm", "commandLine": "true"}}
    file.write_text(json.dumps({"jobSpecification": specification, "schedule": {}}))
    assert batch("schedule", "create", "hourly", "--every", "PT1H", "--file", file).out == "job schedule hourly\n"
    jobs: list[dict] = []
    end = time.monotonic() + 20
    while not jobs and time.monotonic() < end:
        batch("explain", "job/hello")  # any command that schedules
        jobs = documents(batch("schedule", "jobs", "hourly", "--json"))
    assert [item["id"] for item in jobs] == ["hourly:job-1"]
    assert "hourly" in batch("schedule", "list").out
    assert "every     PT1H" in batch("schedule", "show", "hourly").out
    assert batch("schedule", "disable", "hourly").out == "job schedule hourly: disabled\n"
    assert batch("schedule", "enable", "hourly").out == "job schedule hourly: active\n"
    assert batch("schedule", "terminate", "hourly").code == 0
    assert batch("schedule", "delete", "hourly").code == 0


# ---- the end of a pool


def test_resize_adds_a_node_and_takes_it_away(batch: Batch) -> None:
    grown = batch("pool", "resize", "pool", "--nodes", "2", "--wait")
    assert (grown.code, grown.out) == (0, "pool pool: steady, nodes 2\n")
    shrunk = batch("pool", "resize", "pool", "--nodes", "1", "--option", "taskcompletion", "--wait")
    assert (shrunk.code, shrunk.out) == (0, "pool pool: steady, nodes 1\n")


def test_the_key_of_an_account_elsewhere_is_kept_or_refused(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for typed, code in (("a2V5LW9mLWZhcg==", 0), ("a2V5", 1)):
        monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        result = batch("account", "connect", "far", home=tmp_path / "home")
        assert result.code == code
        assert typed not in result.out + result.err
    assert "too short for the key" in result.err


def test_an_argument_that_is_no_text_is_named(batch: Batch) -> None:
    result = batch("account", "keys", "caf\udce9")
    assert result.code == 2
    assert "is no UTF-8 text" in result.err and "defect" not in result.err
