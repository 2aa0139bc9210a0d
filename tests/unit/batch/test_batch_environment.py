from __future__ import annotations

from pathlib import Path

from kyanite.batch.environment import batch_environment, node_environment
from kyanite.batch.model import Account


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


def test_a_start_task_has_no_job_and_no_task():
    node, folder = Path("/n"), Path("/n/startup")
    start = batch_environment(Account("acct"), "p", "n1", node, folder, None)
    task = batch_environment(Account("acct"), "p", "n1", node, Path("/n/w/t"), ("j", "t"))
    assert set(task) - set(start) == {"AZ_BATCH_JOB_ID", "AZ_BATCH_TASK_ID"}
    assert start["AZ_BATCH_TASK_WORKING_DIR"] == "/n/startup/wd"
    assert (task["AZ_BATCH_NODE_SHARED_DIR"], task["AZ_BATCH_TASK_DIR"]) == ("/n/shared", "/n/w/t")
