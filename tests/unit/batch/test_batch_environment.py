from __future__ import annotations

from pathlib import Path

from kyanite.batch.environment import batch_environment, node_environment
from kyanite.batch.pools import Key, Launch, Place


def test_only_listed_host_variables_reach_a_task():
    host = {
        "PATH": "/usr/bin",
        "HOME": "/home/me",
        "LC_ALL": "C",
        "PIP_INDEX_URL": "https://index",
        "PIP_TARGET": "/elsewhere",
        "HTTPS_PROXY": "http://p",
        "no_proxy": "x",
        "AWS_SECRET_ACCESS_KEY": "s",
        "PYTHONPATH": "/evil",
        "KYANITE_TOKEN": "s",
    }
    kept = node_environment(host, Path("/pool/env"), Path("/ws"))
    assert kept["PATH"].startswith("/pool/env/bin:/usr/bin:")
    assert (kept["VIRTUAL_ENV"], kept["KYANITE_HOME"]) == ("/pool/env", "/ws")
    assert set(kept) == {
        "PATH",
        "HOME",
        "LC_ALL",
        "PIP_INDEX_URL",
        "HTTPS_PROXY",
        "no_proxy",
        "VIRTUAL_ENV",
        "KYANITE_HOME",
    }


def test_a_host_without_a_path_still_gives_one():
    assert "/usr/bin" in node_environment({}, Path("/e"), Path("/w"))["PATH"].split(":")


def launch(**changes):
    key = Key(Place("acct", "p", "n1"), 7)
    return Launch(key, "task", ("w",), "true", "https://acct.local.batch.azure.com", **changes)


def test_a_start_task_has_no_job_and_no_task():
    node = Path("/n")
    start = batch_environment(launch(), node, Path("/n/startup"))
    task = batch_environment(launch(job_id="j", task_id="t"), node, Path("/n/w/t"))
    assert set(task) - set(start) == {"AZ_BATCH_JOB_ID", "AZ_BATCH_TASK_ID"}
    assert start["AZ_BATCH_TASK_WORKING_DIR"] == "/n/startup/wd"
    assert (task["AZ_BATCH_NODE_SHARED_DIR"], task["AZ_BATCH_TASK_DIR"]) == ("/n/shared", "/n/w/t")


def test_what_only_some_tasks_see():
    plain = batch_environment(launch(job_id="j", task_id="t"), Path("/n"), Path("/n/w/t"))
    steps = ("workitems", "j", "job-1", "prep")
    rich = launch(job_id="j", task_id="t", preparation=steps, token="abc", dedicated=False)
    seen = batch_environment(rich, Path("/n"), Path("/n/w/t"))
    assert {name.removeprefix("AZ_BATCH_"): seen[name] for name in set(seen) - set(plain)} == {
        "JOB_PREP_DIR": "/n/workitems/j/job-1/prep",
        "JOB_PREP_WORKING_DIR": "/n/workitems/j/job-1/prep/wd",
        "AUTHENTICATION_TOKEN": "abc",
    }
    assert (plain["AZ_BATCH_NODE_IS_DEDICATED"], seen["AZ_BATCH_NODE_IS_DEDICATED"]) == ("true", "false")
    assert int(plain["AZ_BATCH_TASK_RESERVED_EPHEMERAL_DISK_SPACE_BYTES"]) > 0
    assert "abc" not in repr(rich)
