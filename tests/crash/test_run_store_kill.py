"""Killed and stopped processes: an event that was reported is never lost, and an old owner can do nothing.

A longer series: KYANITE_TEST_PROFILE=thorough.
"""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest

from kyanite.database import Database
from kyanite.runs.sqlite import SqliteRunStore
from kyanite.runs.store import Owner, RunHeader
from kyanite.secrets import Vault

KILLS = 2000 if os.environ.get("KYANITE_TEST_PROFILE") == "thorough" else 30
STOPS = 100 if os.environ.get("KYANITE_TEST_PROFILE") == "thorough" else 5
RUNS = ("run-1", "run-2", "run-3")

COMMON = """
import sys
from datetime import datetime, UTC
from pathlib import Path
from kyanite.database import Database
from kyanite.errors import LeaseLost
from kyanite.runs import sqlite
from kyanite.runs.store import Owner, RunHeader
from kyanite.secrets import Vault

home, run_id = Path(sys.argv[1]), sys.argv[2]
database = Database(home / "kyanite.db")
store = sqlite.SqliteRunStore(database, Vault(home / "secrets.json"))

def event(seq):
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"kind": "VariableSet", "at": at, "value": f"{seq}:" + "x" * (seq % 700)}

def report(*words):
    print(*words, flush=True)
"""

WRITER = (
    COMMON
    + """
lease = store.claim(run_id, Owner.current(), datetime.now(UTC))
version = store.version(run_id)
while True:
    version = store.append(run_id, version, [event(version + 1 + n) for n in range(1 + version % 3)], lease=lease)
    report(version)
"""
)

STOPPED = (
    COMMON
    + """
sqlite.LEASE_SECONDS = 0.1
lease = store.claim(run_id, Owner.current(), datetime.now(UTC))
version = store.append(run_id, store.version(run_id), [event(0)], lease=lease)
report("claimed", version)
sys.stdin.readline()

def attempt(work):
    try:
        work()
    except LeaseLost:
        return "refused"
    return "accepted"

report(
    attempt(lambda: store.append(run_id, version, [event(0)], lease=lease)),
    attempt(lambda: store.append(run_id, store.version(run_id), [event(0)], lease=lease)),
    attempt(lambda: store.renew(lease, datetime.now(UTC))),
)
store.release(lease)
"""
)


def start(program, home, run_id):
    return subprocess.Popen(
        [sys.executable, "-c", program, str(home), run_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def home(tmp_path):
    database = Database(tmp_path / "kyanite.db")
    store = SqliteRunStore(database, Vault(tmp_path / "secrets.json"))
    queued = {"kind": "RunQueued", "at": "2026-03-01T12:00:00.000000Z"}
    for run_id in RUNS:
        assert store.create(run_id, RunHeader("sample", "CopyParquet"), [queued])
    database.close()
    return tmp_path


def check_log(database, store, run_id, reported):
    events = store.read(run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(events) >= reported
    for event in events[1:]:
        assert event.body["value"] == f"{event.seq}:" + "x" * (event.seq % 700)
    summary = store.summary(run_id)
    assert (summary.version, summary.updated_at) == (len(events), max(event.at for event in events))
    return len(events)


def test_an_event_that_was_reported_is_never_lost(home):
    """Writers share the database; all are killed at random and their runs taken over by the next ones at once."""
    moments = random.Random(20260301)
    reported = dict.fromkeys(RUNS, 1)
    for _ in range(KILLS // len(RUNS)):
        writers = {run_id: start(WRITER, home, run_id) for run_id in reported}
        for run_id, writer in writers.items():
            reported[run_id] = int(writer.stdout.readline())
        time.sleep(moments.uniform(0, 0.1))
        for run_id, writer in sorted(writers.items(), key=lambda _: moments.random()):
            os.kill(writer.pid, signal.SIGKILL)
            told = [line for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
            reported[run_id] = int(told[-1]) if told else reported[run_id]
        database = Database(home / "kyanite.db")
        store = SqliteRunStore(database, Vault(home / "secrets.json"))
        for run_id, version in reported.items():
            assert store.version(run_id) >= version
        database.close()
    database = Database(home / "kyanite.db")
    store = SqliteRunStore(database, Vault(home / "secrets.json"))
    for run_id, version in reported.items():
        assert check_log(database, store, run_id, version) > KILLS // len(RUNS)
    assert database.query("PRAGMA integrity_check")[0][0] == "ok"
    database.close()


def test_an_old_owner_can_do_nothing(home):
    database = Database(home / "kyanite.db")
    store = SqliteRunStore(database, Vault(home / "secrets.json"))
    for _ in range(STOPS):
        old = start(STOPPED, home, "run-1")
        claimed, version = old.stdout.readline().split()
        assert claimed == "claimed"
        os.kill(old.pid, signal.SIGSTOP)
        while (lease := store.claim("run-1", Owner.current(), datetime.now(UTC))) is None:
            time.sleep(0.02)
        assert store.append(
            "run-1", int(version), [{"kind": "RunStarted", "at": store.read("run-1")[-1].at}], lease=lease
        )
        os.kill(old.pid, signal.SIGCONT)
        assert old.communicate("\n")[0] == "refused refused refused\n"
        assert store.version("run-1") == int(version) + 1
        assert store.append("run-1", int(version) + 1, [], lease=lease) == int(version) + 1
        store.release(lease)
    database.close()
