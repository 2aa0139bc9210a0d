"""Hostile requests to the Batch service, from fixed seeds: always an answer in the service's shape, never a 5xx."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator

import pytest

from batch_raw_client import RawClient
from kyanite.runtime.workspace import open_workspace
from kyanite.server.batch.filters import FILTERS
from kyanite.server.batch.operations import OPERATIONS
from server_kit import LiveServer, live_server

REQUESTS = 400
POOL = {
    "id": "p",
    "vmSize": "a1",
    "targetDedicatedNodes": 0,
    "taskSlotsPerNode": 2,
    "metadata": [{"name": "a", "value": "b"}],
    "startTask": {"commandLine": "true", "environmentSettings": [{"name": "a", "value": "b"}], "maxTaskRetryCount": 1},
}
TASK = {
    "id": "t",
    "commandLine": "true",
    "constraints": {"maxWallClockTime": "PT1H", "retentionTime": "P1D", "maxTaskRetryCount": 2},
    "resourceFiles": [{"httpUrl": "https://a.blob.core.windows.net/c/b", "filePath": "b", "fileMode": "0770"}],
    "outputFiles": [
        {
            "filePattern": "*.txt",
            "destination": {"container": {"containerUrl": "https://a.blob.core.windows.net/c", "path": "x"}},
            "uploadOptions": {"uploadCondition": "tasksuccess"},
        }
    ],
    "dependsOn": {"taskIds": ["1"], "taskIdRanges": [{"start": 1, "end": 5}]},
    "exitConditions": {"exitCodes": [{"code": 1, "exitOptions": {"jobAction": "none"}}], "default": {}},
    "environmentSettings": [{"name": "A", "value": "b"}],
    "requiredSlots": 1,
}
JOB = {
    "id": "j",
    "poolInfo": {"poolId": "p"},
    "priority": 1,
    "constraints": {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 0},
    "usesTaskDependencies": True,
    "jobManagerTask": {**TASK, "id": "manager"},
    "jobPreparationTask": {"commandLine": "true"},
    "jobReleaseTask": {"commandLine": "true"},
}
SCHEDULE = {
    "id": "s",
    "schedule": {"recurrenceInterval": "PT1H", "doNotRunUntil": "2030-01-01T00:00:00Z", "startWindow": "PT5M"},
    "jobSpecification": {"poolInfo": {"poolId": "p"}, "priority": 1},
}
BODIES = {
    "Pool_Add": POOL,
    "Pool_Patch": {"startTask": POOL["startTask"], "metadata": []},
    "Pool_UpdateProperties": {"applicationPackageReferences": [], "metadata": [], "startTask": {"commandLine": "a"}},
    "Pool_Resize": {"targetDedicatedNodes": 0, "resizeTimeout": "PT15M", "nodeDeallocationOption": "requeue"},
    "Pool_RemoveNodes": {"nodeList": ["n"], "resizeTimeout": "PT15M"},
    "Pool_EnableAutoScale": {"autoScaleFormula": "$TargetDedicatedNodes=0", "autoScaleEvaluationInterval": "PT5M"},
    "Pool_EvaluateAutoScale": {"autoScaleFormula": "$TargetDedicatedNodes=0"},
    "Job_Add": JOB,
    "Job_Patch": {"priority": 1, "constraints": {"maxTaskRetryCount": 1}},
    "Job_Update": {"poolInfo": {"poolId": "p"}, "priority": 1},
    "Job_Disable": {"disableTasks": "requeue"},
    "Job_Terminate": {"terminateReason": "x"},
    "Task_Add": TASK,
    "Task_AddCollection": {"value": [TASK, {**TASK, "id": "u"}]},
    "Task_Update": {"constraints": TASK["constraints"]},
    "JobSchedule_Add": SCHEDULE,
    "JobSchedule_Patch": {"schedule": SCHEDULE["schedule"]},
    "JobSchedule_Update": {"schedule": SCHEDULE["schedule"], "jobSpecification": SCHEDULE["jobSpecification"]},
    "ComputeNode_Reboot": {"nodeRebootOption": "requeue"},
}
ODD = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, 1e308, "", " ", "a" * 70, "ä", "\u0000", "..",
    "../x", "p:1", "'", "PT", "PT5M", "PT-5M", "P99999999999D", "9999-12-31T23:59:59Z", "2026-13-01", [], {},
    [[]], [None], [{}], {"a": {}}, "requeue", "REQUEUE", "\ud83d\ude00", "$(reboot)", "%s%n", [1] * 200, {"id": "x"},
]  # fmt: skip
HEADERS = [
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
    "ocp-range",
    "range",
    "content-type",
]
HEADERS += ["client-request-id", "return-client-request-id", "accept", "expect-not", "content-encoding", "origin"]
VALUES = [
    "*",
    '"0x1"',
    "W/x",
    "yesterday",
    "bytes=0-",
    "bytes=9-1",
    "true",
    "application/json",
    "text/html",
    "",
    "a" * 2000,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with open_workspace(tmp_path_factory.mktemp("fuzz") / "home", create=True) as workspace:
        workspace.batch.create_account("acct")
        with live_server(workspace) as live:
            key = workspace.batch.keys("acct")["primary"]
            with RawClient(f"{live.http_url}/batch/acct", "acct", key) as raw:
                for path, body in (
                    ("/pools", POOL),
                    ("/jobs", {**JOB, "jobManagerTask": None}),
                    ("/jobs/j/tasks", TASK),
                ):
                    assert raw.call("POST", path, body).status == 201
                assert raw.call("POST", "/jobschedules", SCHEDULE).status == 201
            yield live


def mutated(rng: random.Random, value):
    """A document with one place replaced, dropped, doubled or grown."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.15:
            return {key: item for key, item in value.items() if key != name}
        if kind < 0.25:
            return {**value, rng.choice(["unknown", "", "id ", name.upper()]): rng.choice(ODD)}
        return {**value, name: mutated(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        return [*value, value[0]] if rng.random() < 0.3 else [mutated(rng, value[0]), *value[1:]]
    return rng.choice(ODD)


def some_query(rng: random.Random) -> str:
    names = [
        "$filter",
        "$select",
        "$expand",
        "$skiptoken",
        "maxresults",
        "timeout",
        "recursive",
        "force",
        "api-version",
    ]
    names += ["$top", "", "x" * 300, "starttime"]
    fields = [name for table in FILTERS.values() for name in table]
    filters = [
        f"{rng.choice(fields)} {rng.choice(['eq', 'ne', 'gt', 'like', ''])} {rng.choice(['5', 'null', 'x', chr(39)])}"
        for _ in range(3)
    ]
    values = [
        "",
        "1",
        "-1",
        "0",
        "99999999999",
        "true",
        "stats",
        "id,state",
        "(((",
        "MTp4",
        "%00",
        "%",
        "%FF",
        "a" * 500,
    ]
    values += [each.replace(" ", "%20") for each in filters]
    pairs = [f"{rng.choice(names)}={rng.choice(values)}" for _ in range(rng.randrange(4))]
    return "&".join(pairs)


def some_bytes(rng: random.Random, document) -> bytes:
    text = bytearray(json.dumps(document).encode())
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.randrange(3)] = bytes(rng.randrange(256) for _ in range(rng.randrange(3)))
    return bytes(text)


def some_request(rng: random.Random) -> dict:
    operation = rng.choice(OPERATIONS)
    ids = ["p", "j", "t", "s", "none", "%00", "a" * 70, "%2e%2e", "J", "x%2Fy", "%F0%9F%98%80", "j:job-1"]
    path = re.sub(r"\{\w+\}", lambda _: rng.choice(ids), operation.path).replace("(", "(x=1)")
    if rng.random() < 0.05:
        path = rng.choice(["", "//", "/%", "/pools/" + "a/" * 300, "/pools%2Fp", "/jobs/j/tasks/t/files", path + "/x"])
    body = None
    if operation.method in ("POST", "PUT", "PATCH"):
        body = mutated(rng, BODIES.get(operation.name, {"a": 1}))
        if rng.random() < 0.2:
            body = some_bytes(rng, body)
    headers = {rng.choice(HEADERS): rng.choice(VALUES) for _ in range(rng.randrange(3))}
    return {
        "method": operation.method,
        "path": path,
        "body": body,
        "query": some_query(rng) if rng.random() < 0.5 else None,
        "headers": headers,
        "signature": "AAAA" if rng.random() < 0.03 else None,
    }


@pytest.mark.parametrize("seed", range(3))
def test_every_hostile_request_gets_a_proper_answer(server, seed):
    rng = random.Random(seed)
    key = server.context.workspace.batch.keys("acct")["primary"]
    statuses = set()
    with RawClient(f"{server.http_url}/batch/acct", "acct", key) as raw:
        for number in range(REQUESTS):
            request = some_request(rng)
            answer = raw.call(**request)
            told = (seed, number, request, answer.status, answer.body[:300])
            assert answer.status < 500 or answer.status == 501, told
            statuses.add(answer.status)
            if answer.status >= 400 and request["method"] != "HEAD":
                assert answer.code, told
                assert answer.json["message"]["value"], told
    assert {200, 400, 404} <= statuses
