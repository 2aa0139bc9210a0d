"""Runs over the management API: start, look, every filter and order, pages, recovery, cancel; trigger runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from kyanite.engine.triggers.values import utc_moment
from kyanite.limits import MANAGEMENT_PAGE
from kyanite.runtime.scheduler import Scheduler
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace
from management_kit import FACTORY, PIPELINE, SCHEDULE, Front

ALWAYS = {"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00.000Z"}
FAILING = {
    "properties": {
        "activities": [
            {"name": "first", "type": "SetVariable", "typeProperties": {"variableName": "v", "value": "x"}},
            {
                "name": "fail",
                "type": "Fail",
                "typeProperties": {"message": "no luck", "errorCode": "42"},
                "dependsOn": [{"activity": "first", "dependencyConditions": ["Succeeded"]}],
            },
            {
                "name": "never",
                "type": "Wait",
                "typeProperties": {"waitTimeInSeconds": 1},
                "dependsOn": [{"activity": "fail", "dependencyConditions": ["Succeeded"]}],
            },
        ],
        "variables": {"v": {"type": "String"}},
    }
}


def start(front: Front, pipeline: str = "P", body: object = None, query: str = "") -> str:
    answer = front.post(f"{FACTORY}/pipelines/{pipeline}/createRun{query}", body)
    assert answer.status == 200, answer.body
    return str(answer.json["runId"])


def finish(front: Front, *runs: str) -> None:
    worker = Worker(front.workspace)
    for run in runs:
        worker.run(run)


def query(front: Front, what: str, **body: object) -> list[dict[str, object]]:
    answer = front.post(f"{FACTORY}/{what}", {**ALWAYS, **body})
    assert answer.status == 200, answer.body
    found: list[dict[str, object]] = answer.json["value"]
    return found


def by(operand: str, operator: str, *values: str) -> dict[str, object]:
    return {"operand": operand, "operator": operator, "values": list(values)}


# ---- one run


def test_a_run_is_started_and_told_of(airline: Front) -> None:
    told: list[str] = []
    airline.context.on_run = told.append
    run = start(airline, body={"n": 7})
    assert told == [run]
    queued = airline.get(f"{FACTORY}/pipelineruns/{run}").json
    assert (queued["status"], queued["parameters"], queued["runEnd"], queued["durationInMs"]) == (
        "Queued",
        {"n": "7"},
        None,
        None,
    )
    finish(airline, run)
    done = airline.get(f"{FACTORY}/pipelineruns/{run}").json
    assert done["status"] == "Succeeded"
    assert set(done) == {
        *(
            "id",
            "runId",
            "runGroupId",
            "isLatest",
            "pipelineName",
            "parameters",
            "invokedBy",
            "lastUpdated",
            "runStart",
        ),
        *("runEnd", "durationInMs", "status", "message", "annotations", "runDimension", "runDimensions"),
    }
    assert done["id"] == f"{FACTORY}/pipelineruns/{run}"
    assert done["invokedBy"] == {"id": run, "name": "Manual", "invokedByType": "Manual"}


def test_an_empty_body_takes_the_defaults_and_wrong_parameters_are_refused(airline: Front) -> None:
    run = start(airline)
    assert airline.get(f"{FACTORY}/pipelineruns/{run}").json["parameters"] == {"n": "4"}
    for body in ({"n": "no number"}, {"unknown": 1}):
        answer = airline.post(f"{FACTORY}/pipelines/P/createRun", body)
        assert (answer.status, answer.code) == (400, "BadRequest")
    missing = airline.post(f"{FACTORY}/pipelines/Missing/createRun")
    assert (missing.status, missing.code) == (404, "PipelineNotFound")


def test_runs_are_those_of_their_factory(airline: Front) -> None:
    run = start(airline)
    other = FACTORY.replace("airline", "other")
    airline.put(other, {"location": "local"})
    for answer in (
        airline.get(f"{other}/pipelineruns/{run}"),
        airline.post(f"{other}/pipelineruns/{run}/cancel"),
        airline.post(f"{other}/pipelineruns/{run}/queryActivityruns", ALWAYS),
        airline.get(f"{FACTORY}/pipelineruns/nothing"),
    ):
        assert (answer.status, answer.code) == (404, "PipelineRunNotFound")
    assert airline.post(f"{other}/queryPipelineRuns", ALWAYS).json == {"value": []}


def test_a_secure_parameter_is_shown_nowhere(airline: Front) -> None:
    document = {
        "properties": {
            "activities": [
                {
                    "name": "use",
                    "type": "SetVariable",
                    "typeProperties": {"variableName": "v", "value": "@concat('<', pipeline().parameters.key, '>')"},
                }
            ],
            "variables": {"v": {"type": "String"}},
            "parameters": {"key": {"type": "SecureString"}},
        }
    }
    airline.put(f"{FACTORY}/pipelines/S", document)
    run = start(airline, "S", {"key": "the-secret-of-a-run"})
    finish(airline, run)
    texts = [
        airline.get(f"{FACTORY}/pipelineruns/{run}").body,
        airline.post(f"{FACTORY}/pipelineruns/{run}/queryActivityruns", ALWAYS).body,
    ]
    assert b"***" in texts[0]
    assert b"<***>" in texts[1]
    assert not any(b"the-secret-of-a-run" in text for text in texts)


# ---- queries


def with_history(front: Front) -> Front:
    """Three runs of P that succeeded, two of F that failed, one of P that waits."""
    front.put(FACTORY, {"location": "local"})
    front.put(f"{FACTORY}/pipelines/P", PIPELINE)
    front.put(f"{FACTORY}/pipelines/F", FAILING)
    runs = [start(front, name) for name in ("P", "F", "P", "F", "P")]
    finish(front, *runs)
    start(front, "P", {"n": 99})
    return front


@pytest.fixture
def several(front: Front) -> Front:
    """A history of the test's own."""
    return with_history(front)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The same, for tests that only read."""
    with open_workspace(tmp_path_factory.mktemp("history") / "home", create=True) as workspace:
        made = Front(workspace)
        yield with_history(made)
        made.close()


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([], 6),
        ([by("PipelineName", "Equals", "P")], 4),
        ([by("PipelineName", "Equals", "p")], 4),
        ([by("PipelineName", "NotEquals", "P")], 2),
        ([by("PipelineName", "In", "P", "F")], 6),
        ([by("PipelineName", "NotIn", "P", "F")], 0),
        ([by("Status", "Equals", "Failed")], 2),
        ([by("Status", "In", "Failed", "Queued")], 3),
        ([by("Status", "NotIn", "Failed", "Queued")], 3),
        ([by("Status", "NotEquals", "Succeeded"), by("PipelineName", "Equals", "P")], 1),
        ([by("LatestOnly", "Equals", "true")], 6),
        ([by("RunGroupId", "Equals", "nothing")], 0),
        ([by("RunStart", "Equals", "2020-01-01T00:00:00Z")], 0),
        ([by("RunStart", "NotEquals", "2020-01-01T00:00:00Z")], 6),
        ([by("RunEnd", "NotIn", "2020-01-01T00:00:00Z")], 6),
    ],
)
def test_filters_of_pipeline_runs(history: Front, filters: list[dict[str, object]], count: int) -> None:
    assert len(query(history, "queryPipelineRuns", filters=filters)) == count


def test_equal_times_and_groups_are_found(history: Front) -> None:
    one = query(history, "queryPipelineRuns", filters=[by("Status", "Equals", "Failed")])[0]
    for operand, member in (("RunStart", "runStart"), ("RunEnd", "runEnd"), ("RunGroupId", "runGroupId")):
        found = query(history, "queryPipelineRuns", filters=[by(operand, "Equals", str(one[member]))])
        assert [each["runId"] for each in found] == [one["runId"]]


@pytest.mark.parametrize("column", ["RunStart", "RunEnd", "PipelineName", "Status"])
@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_orders_of_pipeline_runs(history: Front, column: str, order: str) -> None:
    member = {"RunStart": "runStart", "RunEnd": "runEnd", "PipelineName": "pipelineName", "Status": "status"}[column]
    found = query(history, "queryPipelineRuns", orderBy=[{"orderBy": column, "order": order}])
    values = [each[member] or "" for each in found]
    assert values == sorted(values, key=str, reverse=order == "DESC")
    assert len(values) == 6


def test_without_an_order_the_newest_come_first(history: Front) -> None:
    found = query(history, "queryPipelineRuns")
    assert found[0]["status"] == "Queued"
    assert [each["runStart"] for each in found] == sorted((str(each["runStart"]) for each in found), reverse=True)


def test_the_time_range_is_on_the_last_update_and_inclusive(history: Front) -> None:
    one = query(history, "queryPipelineRuns")[2]
    at = str(one["lastUpdated"])
    exactly = query(history, "queryPipelineRuns", lastUpdatedAfter=at, lastUpdatedBefore=at)
    assert [each["runId"] for each in exactly] == [one["runId"]]
    assert query(history, "queryPipelineRuns", lastUpdatedAfter="2099-01-01T00:00:00+00:00") == []
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    assert len(query(history, "queryPipelineRuns", lastUpdatedBefore=later)) == 6


def pages(front: Front, what: str, **body: object) -> Iterator[list[dict[str, object]]]:
    token = None
    while True:
        answer = front.post(f"{FACTORY}/{what}", {**ALWAYS, **body, "continuationToken": token}).json
        yield answer["value"]
        token = answer.get("continuationToken")
        if token is None:
            return


@pytest.mark.parametrize(
    "order",
    [[], [("PipelineName", "ASC")], [("Status", "DESC"), ("RunStart", "ASC")], [("RunEnd", "ASC")]],
    ids=["none", "name", "status and start", "end"],
)
def test_pages_have_every_run_once(several: Front, order: list[tuple[str, str]]) -> None:
    runs = [start(several, "P") for _ in range(MANAGEMENT_PAGE + 3)]
    order_by = [{"orderBy": column, "order": direction} for column, direction in order]
    found: list[dict[str, object]] = []
    sizes = []
    for page in pages(several, "queryPipelineRuns", orderBy=order_by):
        sizes.append(len(page))
        found += page
        if len(sizes) == 1 and not order:
            start(several, "P")  # comes in meanwhile: neither repeats nor hides another
    assert sizes == [MANAGEMENT_PAGE, len(runs) + 6 - MANAGEMENT_PAGE]
    assert len({each["runId"] for each in found}) == len(found)
    if order == [("PipelineName", "ASC")]:
        assert [each["pipelineName"] for each in found] == ["F"] * 2 + ["P"] * (len(found) - 2)


@pytest.mark.parametrize(
    "body",
    [
        {"filters": [by("Nothing", "Equals", "x")]},
        {"filters": [by("Status", "Like", "x")]},
        {"filters": [by("Status", "Equals", "x", "y")]},
        {"filters": [{"operand": "Status", "operator": "In", "values": []}]},
        {"filters": [{"operand": "Status", "operator": "In", "values": [1]}]},
        {"filters": ["x"]},
        {"filters": {"a": 1}},
        {"filters": [by("LatestOnly", "Equals", "maybe")]},
        {"filters": [by("RunStart", "Equals", "yesterday")]},
        {"orderBy": [{"orderBy": "Message"}]},
        {"orderBy": [{"orderBy": "Status", "order": "UP"}]},
        {"lastUpdatedAfter": "soon"},
        {"lastUpdatedAfter": 5},
        {"lastUpdatedBefore": "0000-00-00"},
        {"continuationToken": "x"},
        {"continuationToken": 5},
        {"continuationToken": "WyJhIl0="},
        {"continuationToken": "WzFlNDAwXQ=="},
        {"continuationToken": "W1sxXV0="},
        {"continuationToken": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ=="},
    ],
)
def test_queries_that_cannot_be_understood_are_refused(airline: Front, body: dict[str, object]) -> None:
    answer = airline.post(f"{FACTORY}/queryPipelineRuns", {**ALWAYS, **body})
    assert (answer.status, answer.code) == (400, "BadRequest"), answer.body


# ---- activity runs


def test_activity_runs_are_filtered_and_ordered(history: Front) -> None:
    run = str(query(history, "queryPipelineRuns", filters=[by("Status", "Equals", "Failed")])[0]["runId"])

    def names(*filters: dict[str, object], **body: object) -> list[object]:
        found = query(history, f"pipelineruns/{run}/queryActivityruns", filters=list(filters), **body)
        return [each["activityName"] for each in found]

    assert names() == ["first", "fail"]
    assert names(by("Status", "In", "Skipped", "Failed")) == ["fail", "never"]
    assert names(by("Status", "Equals", "Failed")) == ["fail"]
    assert names(by("ActivityType", "NotEquals", "Fail")) == ["first"]
    assert names(by("ActivityName", "In", "FIRST")) == ["first"]
    assert names(by("ActivityName", "NotIn", "first")) == ["fail"]
    assert names(by("ActivityRunStart", "Equals", "2020-01-01T00:00:00Z")) == []
    assert names(by("ActivityRunEnd", "NotEquals", "2020-01-01T00:00:00Z")) == ["first", "fail"]
    for column, wanted in (("ActivityName", ["fail", "first"]), ("ActivityRunStart", ["first", "fail"])):
        assert names(orderBy=[{"orderBy": column, "order": "ASC"}]) == wanted
        assert names(orderBy=[{"orderBy": column, "order": "DESC"}]) == wanted[::-1]
    assert names(lastUpdatedAfter="2099-01-01T00:00:00Z") == []
    assert names(lastUpdatedBefore="2001-01-01T00:00:00Z") == []


def test_an_activity_run_has_the_services_members(history: Front) -> None:
    run = str(query(history, "queryPipelineRuns", filters=[by("Status", "Equals", "Failed")])[0]["runId"])
    first, fail = query(history, f"pipelineruns/{run}/queryActivityruns")
    assert set(first) >= {
        *("pipelineName", "pipelineRunId", "activityName", "activityType", "activityRunId", "linkedServiceName"),
        *("status", "activityRunStart", "activityRunEnd", "durationInMs", "input", "output", "error", "retryAttempt"),
        *("userProperties", "iterationHash", "id"),
    }
    assert first["error"] == {"errorCode": "", "message": "", "failureType": "", "target": "first"}
    assert first["retryAttempt"] is None
    error = fail["error"]
    assert isinstance(error, dict)
    assert (error["errorCode"], error["message"], error["target"]) == ("42", "no luck", "fail")


def test_activity_runs_are_paged(airline: Front) -> None:
    each = {"name": "one", "type": "SetVariable", "typeProperties": {"variableName": "v", "value": "@string(item())"}}
    loop = {
        "name": "loop",
        "type": "ForEach",
        "typeProperties": {"items": {"type": "Expression", "value": "@range(0, 120)"}, "activities": [each]},
    }
    airline.put(
        f"{FACTORY}/pipelines/L", {"properties": {"activities": [loop], "variables": {"v": {"type": "String"}}}}
    )
    run = start(airline, "L")
    finish(airline, run)
    found = list(pages(airline, f"pipelineruns/{run}/queryActivityruns"))
    assert [len(page) for page in found] == [MANAGEMENT_PAGE, 21]
    assert len({each["activityRunId"] for page in found for each in page}) == 121
    wrong = airline.post(f"{FACTORY}/pipelineruns/{run}/queryActivityruns", {**ALWAYS, "continuationToken": "x"})
    assert wrong.status == 400


# ---- recovery and cancel


def test_a_recovery_joins_the_group_and_reuses_what_succeeded(several: Front) -> None:
    failed = query(several, "queryPipelineRuns", filters=[by("Status", "Equals", "Failed")])[0]
    earlier = str(failed["runId"])
    base = f"?referencePipelineRunId={earlier}&isRecovery=true"
    whole = start(several, "F", query=base)
    from_failure = start(several, "F", query=f"{base}&startFromFailure=true")
    from_activity = start(several, "F", query=f"{base}&startActivityName=fail&startFromFailure=true")
    finish(several, whole, from_failure, from_activity)
    group = [by("RunGroupId", "Equals", str(failed["runGroupId"]))]
    found = query(several, "queryPipelineRuns", filters=group)
    assert {each["runId"] for each in found} == {earlier, whole, from_failure, from_activity}
    latest = query(several, "queryPipelineRuns", filters=[*group, by("LatestOnly", "Equals", "True")])
    assert [each["runId"] for each in latest] == [from_activity]
    every = query(several, "queryPipelineRuns", filters=[*group, by("LatestOnly", "NotEquals", "true")])
    assert len(every) == 4


def test_a_reference_without_recovery_takes_its_parameters(several: Front) -> None:
    earlier = start(several, "P", {"n": 41})
    again = start(several, "P", query=f"?referencePipelineRunId={earlier}")
    over = start(several, "P", {"n": 42}, query=f"?referencePipelineRunId={earlier}")
    shown = [several.get(f"{FACTORY}/pipelineruns/{run}").json for run in (earlier, again, over)]
    assert [each["parameters"]["n"] for each in shown] == ["41", "41", "42"]
    assert len({each["runGroupId"] for each in shown}) == 3


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda run: "?isRecovery=true", 400),
        (lambda run: "?isRecovery=true&referencePipelineRunId=nothing", 404),
        (lambda run: f"?isRecovery=true&referencePipelineRunId={run}", 400),
        (lambda run: f"?isRecovery=true&referencePipelineRunId={run}&startActivityName=nothing", 400),
    ],
    ids=["no reference", "unknown", "not over", "unknown activity"],
)
def test_recoveries_that_cannot_be(airline: Front, make: Callable[[str], str], status: int) -> None:
    run = start(airline)
    answer = airline.post(f"{FACTORY}/pipelines/P/createRun{make(run)}")
    assert answer.status == status, answer.body


def test_a_run_of_another_pipeline_is_no_reference(several: Front) -> None:
    run = query(several, "queryPipelineRuns", filters=[by("Status", "Equals", "Failed")])[0]["runId"]
    answer = several.post(f"{FACTORY}/pipelines/P/createRun?isRecovery=true&referencePipelineRunId={run}")
    assert answer.status == 400
    assert "'F'" in answer.json["error"]["message"]


def test_a_run_is_cancelled_once(airline: Front) -> None:
    told: list[str] = []
    run = start(airline)
    airline.context.on_run = told.append
    assert airline.post(f"{FACTORY}/pipelineruns/{run}/cancel?isRecursive=true").status == 200
    assert told == [run]
    assert airline.get(f"{FACTORY}/pipelineruns/{run}").json["status"] == "Canceling"
    finish(airline, run)
    assert airline.get(f"{FACTORY}/pipelineruns/{run}").json["status"] == "Cancelled"
    late = airline.post(f"{FACTORY}/pipelineruns/{run}/cancel")
    assert (late.status, late.code) == (400, "BadRequest")


# ---- triggers


def test_trigger_runs_are_queried(airline: Front) -> None:
    now = [utc_moment("2024-01-31T06:00:30Z", "test")]
    airline.context.clock = lambda: now[0]
    for name in ("A", "B"):
        assert airline.put(f"{FACTORY}/triggers/{name}", SCHEDULE).status == 200
        assert airline.post(f"{FACTORY}/triggers/{name}/start").status == 200
    scheduler = Scheduler(airline.workspace, clock=lambda: now[0])
    for _ in range(3):
        now[0] += timedelta(minutes=1)
        scheduler.look()
    every = query(airline, "queryTriggerRuns")
    assert len(every) == 6
    assert set(every[0]) >= {
        *("triggerRunId", "triggerName", "triggerType", "triggerRunTimestamp", "status", "message", "properties"),
        *("triggeredPipelines", "runDimension", "dependencyStatus"),
    }
    assert len(query(airline, "queryTriggerRuns", filters=[by("TriggerName", "Equals", "a")])) == 3
    assert len(query(airline, "queryTriggerRuns", filters=[by("TriggerName", "NotIn", "A", "B")])) == 0
    assert len(query(airline, "queryTriggerRuns", filters=[by("Status", "Equals", "Succeeded")])) == 6
    at = str(every[0]["triggerRunTimestamp"])
    assert len(query(airline, "queryTriggerRuns", filters=[by("TriggerRunTimestamp", "Equals", at)])) == 2
    for column, member in (("TriggerName", "triggerName"), ("TriggerRunTimestamp", "triggerRunTimestamp")):
        for order in ("ASC", "DESC"):
            found = query(airline, "queryTriggerRuns", orderBy=[{"orderBy": column, "order": order}])
            values = [str(each[member]) for each in found]
            assert values == sorted(values, reverse=order == "DESC")
    run = str(every[0]["triggerRunId"])
    name = every[0]["triggerName"]
    schedules = airline.post(f"{FACTORY}/triggers/{name}/triggerRuns/{run}/rerun")
    assert schedules.status == 400
    assert "windows" in schedules.json["error"]["message"]
    assert airline.post(f"{FACTORY}/triggers/{name}/triggerRuns/{run}/cancel").status == 200
    assert airline.post(f"{FACTORY}/triggers/{name}/triggerRuns/nothing/cancel").status == 404
    assert query(airline, "queryTriggerRuns", lastUpdatedBefore="2001-01-01T00:00:00Z") == []
    airline.put(FACTORY.replace("airline", "other"), {"location": "local"})
    other = airline.post(f"{FACTORY.replace('airline', 'other')}/queryTriggerRuns", ALWAYS)
    assert other.json == {"value": []}


def test_triggers_are_queried_and_only_event_triggers_are_subscribed(airline: Front) -> None:
    airline.put(f"{FACTORY}/triggers/A", SCHEDULE)
    found = airline.post(f"{FACTORY}/querytriggers", {}).json["value"]
    assert [each["name"] for each in found] == ["A"]
    assert airline.post(f"{FACTORY}/querytriggers", {"parentTriggerName": "A"}).json == {"value": []}
    refused = airline.post(f"{FACTORY}/triggers/A/subscribeToEvents")
    assert refused.status == 400
    assert "ScheduleTrigger" in refused.json["error"]["message"]
    events = {
        "properties": {
            "type": "BlobEventsTrigger",
            "pipelines": [{"pipelineReference": {"referenceName": "P", "type": "PipelineReference"}}],
            "typeProperties": {
                "blobPathBeginsWith": "/files/blobs/input",
                "events": ["Microsoft.Storage.BlobCreated"],
                "scope": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acct",
            },
        }
    }
    airline.workspace.accounts.create("acct").create_container("files")
    airline.put(f"{FACTORY}/triggers/E", events)
    path = f"{FACTORY}/triggers/E"
    assert airline.post(f"{path}/getEventSubscriptionStatus").json == {"triggerName": "E", "status": "Disabled"}
    assert airline.post(f"{path}/start").status == 200
    assert airline.post(f"{path}/getEventSubscriptionStatus").json == {"triggerName": "E", "status": "Enabled"}
    assert airline.post(f"{path}/unsubscribeFromEvents").status == 200
    assert airline.post(f"{path}/stop").status == 200
    assert airline.post(f"{FACTORY}/triggers/missing/start").status == 404


def test_a_trigger_whose_pipeline_wants_parameters_is_not_started(airline: Front) -> None:
    airline.put(f"{FACTORY}/triggers/A", SCHEDULE)
    wanting = {"properties": {**PIPELINE["properties"], "parameters": {"n": {"type": "Int"}}}}
    assert airline.put(f"{FACTORY}/pipelines/P", wanting).status == 200
    for answer in (airline.post(f"{FACTORY}/triggers/A/start"), airline.put(f"{FACTORY}/triggers/B", SCHEDULE)):
        assert (answer.status, answer.code) == (400, "BadRequest")
        assert "'n'" in answer.json["error"]["message"]


def test_a_window_is_run_again_and_cancelled(airline: Front) -> None:
    now = [utc_moment("2024-01-31T06:30:00Z", "test")]
    airline.context.clock = lambda: now[0]
    tumbling = {
        "properties": {
            "type": "TumblingWindowTrigger",
            "pipeline": {"pipelineReference": {"referenceName": "P", "type": "PipelineReference"}, "parameters": {}},
            "typeProperties": {
                "frequency": "Hour",
                "interval": 1,
                "startTime": "2024-01-31T05:00:00Z",
                "maxConcurrency": 1,
            },
        }
    }
    assert airline.put(f"{FACTORY}/triggers/W", tumbling).status == 200
    assert airline.post(f"{FACTORY}/triggers/W/start").status == 200
    made: list[str] = []
    scheduler = Scheduler(airline.workspace, clock=lambda: now[0], on_run=made.append)
    scheduler.look()
    window = query(airline, "queryTriggerRuns")[0]
    path = f"{FACTORY}/triggers/W/triggerRuns/{window['triggerRunId']}"
    early = airline.post(f"{path}/rerun")
    assert (early.status, early.code) == (400, "BadRequest")
    finish(airline, *made)
    scheduler.look()
    assert query(airline, "queryTriggerRuns")[0]["status"] == "Succeeded"
    assert airline.post(f"{path}/rerun").status == 200
    scheduler.look()
    assert len(made) == 2
    assert query(airline, "queryTriggerRuns")[0]["status"] == "Inprogress"
    told: list[str] = []
    airline.context.on_run = told.append
    assert airline.post(f"{path}/cancel").status == 200
    assert told == [made[1]]
    assert airline.get(f"{FACTORY}/pipelineruns/{made[1]}").json["status"] == "Canceling"
    finish(airline, made[1])
    assert airline.post(f"{path}/cancel").status == 400
