"""Lists of tasks: what is read of the stored ones, and that leaving tasks out early changes no answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batch_kit import BASE, opened
from kyanite.batch import wire
from kyanite.batch.documents import read_task, stored_task
from kyanite.batch.rows import FACTS, task_facts
from kyanite.server.batch.filters import FILTERS, fixed, parse_filter

NAMES = ("good", "bad", "Gone", "again", "waits", "runs")


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """A job with tasks in every state, one of them tried twice, one of them ended by its user."""
    with opened(tmp_path_factory.mktemp("lists")) as batch:
        batch.pool(taskSlotsPerNode=2)
        batch.job(usesTaskDependencies=True)
        batch.task("good", displayName="The good one")
        batch.task("bad", "exit 3")
        batch.task("Gone", "hang")
        batch.clock.move(seconds=1)
        batch.turn()
        batch.service.terminate_task("acct", "j", "gone")
        batch.clock.move(seconds=1)
        batch.task("again", "exit 1 then 0", constraints={"maxTaskRetryCount": "1"})
        batch.task("waits", dependsOn={"taskIds": ["never"]})
        batch.task("runs", "hang")
        batch.turn()
        yield batch


def listed(batch, text):
    """What the list gives that leaves out early, and what it must give."""
    condition = parse_filter(text, FILTERS["tasks"])
    documents = [wire.task_json(task, BASE) for task in batch.service.list_tasks("acct", "j")]
    early = batch.service.list_tasks("acct", "j", **fixed(condition), keep=condition.matches)
    return [task.id for task in early], [each["id"] for each in documents if condition.matches(each)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state eq 'completed'", ["good", "bad", "Gone", "again"]),
        ("state eq 'Running'", ["runs"]),
        ("state ne 'completed'", ["waits", "runs"]),
        ("id eq 'GONE'", ["Gone"]),
        ("id eq 'go'", []),
        ("startswith(id, 'GO')", ["good", "Gone"]),
        ("startswith(id, 'go') and state eq 'completed' and executionInfo/exitCode eq 0", ["good"]),
        ("state eq 'completed' and state eq 'active'", []),
        ("startswith(id, 'go') and startswith(id, 'b')", []),
        ("state eq 'active' or id eq 'bad'", ["bad", "waits"]),
        ("executionInfo/exitCode ne 0", ["bad", "Gone", "waits", "runs"]),
        ("executionInfo/result eq 'failure'", ["bad", "Gone"]),
        ("executionInfo/failureInfo/code eq 'TaskEnded'", ["Gone"]),
        ("executionInfo/retryCount gt 0", ["again"]),
        ("previousState eq null", ["waits"]),
        ("previousState eq 'running'", ["good", "bad", "Gone", "again"]),
        ("nodeInfo/poolId eq 'p'", ["good", "bad", "Gone", "again", "runs"]),
        ("creationTime gt DateTime'2026-03-01T12:00:01Z'", ["again", "waits", "runs"]),
        ("executionInfo/endTime le DateTime'2026-03-01T12:00:01Z'", ["good", "bad", "Gone"]),
        ("lastModified lt DateTime'2026-03-01T12:00:02Z'", ["good", "bad", "Gone"]),
    ],
)
def test_tasks_that_are_left_out_early_are_those_that_do_not_match(batch, text, expected):
    early, slow = listed(batch, text)
    assert early == slow == expected


def test_the_facts_of_a_row_are_those_of_its_document(batch):
    rows = batch.service._store.rows("tasks", account="acct", job="j", after=0, limit=-1, state=None, prefix="")
    assert [row["id"] for row in rows] == list(NAMES)
    for row in rows:
        document = wire.task_json(batch.service.get_task("acct", "j", row["id"]), BASE)
        facts = task_facts(row)
        assert set(facts) == FACTS
        for name in FACTS - {"executionInfo", "nodeInfo"}:
            assert facts[name] == document.get(name)
        for part in ("executionInfo", "nodeInfo"):
            shown = document.get(part) or {}
            assert all(value == shown.get(name) for name, value in (facts[part] or {}).items())
    assert {name.partition("/")[0] for name in FILTERS["tasks"]} == FACTS | {"displayName"}


@pytest.mark.parametrize(
    "document",
    [
        {"id": "t", "commandLine": "true"},
        {
            "id": "t",
            "commandLine": "/bin/sh -c 'echo a b'",
            "displayName": "Long",
            "constraints": {"maxWallClockTime": "PT01M00.5S", "retentionTime": "P1D", "maxTaskRetryCount": "3"},
            "requiredSlots": "2",
            "environmentSettings": [{"name": "A", "value": "b"}, {"name": "C"}],
            "resourceFiles": [
                {"httpUrl": "https://a.b/c/d.txt?sig=x", "fileMode": "0o644"},
                {"httpUrl": "https://a.b/c", "filePath": "e/f"},
                {"storageContainerUrl": "https://a.b/c", "blobPrefix": "x", "filePath": "in"},
                {"autoStorageContainerName": "auto"},
            ],
            "unknown": {"kept": [1]},
        },
        {"id": "t", "commandLine": "true", "constraints": None, "resourceFiles": None, "environmentSettings": None},
        {"id": "t", "commandLine": "true", "constraints": {"maxWallClockTime": "P10675199DT2H48M5.4775807S"}},
    ],
)
def test_a_stored_task_is_what_was_read_when_it_came(document):
    read = read_task(document, 7)
    assert stored_task(document, read.max_retry_count, read.required_slots) == read
    again = stored_task(document, 5, 9)
    assert replace(again, max_retry_count=read.max_retry_count, required_slots=read.required_slots) == read


def test_a_stored_task_is_listed_whatever_is_thought_of_its_command_today(batch):
    with opened(batch.nodes.root) as other:
        other.job()
        other.task("old", "true")
        other.database.execute('UPDATE batch_tasks SET spec = replace(spec, \'"true"\', \'"an \\"open quote"\')')
        assert [task.spec.command_line for task in other.service.list_tasks("acct", "j")] == ['an "open quote']
