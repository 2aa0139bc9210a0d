"""Jobs: their states, their tasks' order, managers, preparation, release, auto pools, schedules."""

from __future__ import annotations

import pytest

from batch_kit import BASE, opened
from kyanite import limits
from kyanite.batch import wire
from kyanite.batch.conditions import Conditions
from kyanite.batch.model import Fenced, Lost
from kyanite.errors import BatchError


@pytest.fixture
def batch(tmp_path):
    with opened(tmp_path) as made:
        yield made


def code_of(call, *arguments, **named):
    with pytest.raises(BatchError) as caught:
        call(*arguments, **named)
    return caught.value.error_code


def two_running(batch, **job):
    batch.pool(taskSlotsPerNode=2)
    batch.job(**job)
    for name in ("a", "b", "c"):
        batch.task(name, "hang")
    batch.turn()
    assert batch.states() == {"a": "running", "b": "running", "c": "active"}


# ---- the life of a job


def test_a_job_as_it_comes_back(batch):
    batch.job(
        priority="5",
        metadata=[{"name": "a", "value": "1"}],
        constraints={"maxWallClockTime": "PT1H"},
        somethingNew={"kept": True},
    )
    body = batch.wire_job()
    assert body["url"] == f"{BASE}/jobs/j"
    assert (body["state"], body["priority"], body["maxParallelTasks"]) == ("active", 5, -1)
    assert body["constraints"] == {"maxWallClockTime": "PT1H", "maxTaskRetryCount": 0}
    assert (body["onAllTasksComplete"], body["onTaskFailure"]) == ("noaction", "noaction")
    assert body["somethingNew"] == {"kept": True}
    assert body["executionInfo"] == {"startTime": "2026-03-01T12:00:00.000000Z", "poolId": "p"}
    assert body["creationTime"] == body["lastModified"] == body["stateTransitionTime"]
    assert "previousState" not in body


def test_a_job_without_limits_shows_the_services_longest_duration(batch):
    batch.job()
    assert batch.wire_job()["constraints"]["maxWallClockTime"] == "P10675199DT2H48M5.4775807S"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"id": "j"}, "MissingRequiredProperty"),
        ({"id": "j", "poolInfo": {}}, "MissingRequiredProperty"),
        ({"id": "j", "poolInfo": {"poolId": "p", "autoPoolSpecification": {}}}, "InvalidPropertyValue"),
        ({"id": "j:1", "poolInfo": {"poolId": "p"}}, "InvalidPropertyValue"),
        ({"id": "j", "poolInfo": {"poolId": "p"}, "priority": 1001}, "OutOfRangePriority"),
        ({"id": "j", "poolInfo": {"poolId": "p"}, "maxParallelTasks": 0}, "InvalidPropertyValue"),
        ({"id": "j", "poolInfo": {"poolId": "p"}, "jobReleaseTask": {"commandLine": "x"}}, "InvalidPropertyValue"),
        (
            {
                "id": "j",
                "poolInfo": {"poolId": "p"},
                "jobManagerTask": {"id": "jobpreparation", "commandLine": "x"},
                "jobPreparationTask": {"commandLine": "x"},
            },
            "TaskIdSameAsJobPreparationTask",
        ),
    ],
)
def test_jobs_that_cannot_be(batch, body, code):
    assert code_of(batch.service.add_job, "acct", body) == code


def test_ids_keep_their_spelling_and_differ_by_more_than_case(batch):
    batch.job("Job")
    assert code_of(batch.job, "JOB") == "JobExists"
    assert batch.service.get_job("ACCT", "jOB").id == "Job"
    assert code_of(batch.service.get_job, "acct", "other") == "JobNotFound"


def test_a_missing_pool_is_no_error_and_tasks_start_when_it_comes(batch):
    batch.job()
    batch.task("t")
    batch.turn()
    assert batch.state("t") == "active"
    assert batch.service.explain("acct", "j", "t")[0].code == "PoolNotFound"
    batch.pool()
    batch.turn()
    assert batch.state("t") == "completed"


def test_the_quota_of_active_jobs(batch, monkeypatch):
    monkeypatch.setattr(limits, "ACTIVE_JOBS_PER_ACCOUNT", 2)
    batch.job("a")
    batch.job("b")
    assert code_of(batch.job, "c") == "ActiveJobAndScheduleQuotaReached"
    batch.service.terminate_job("acct", "a")
    batch.turn()
    batch.job("c")


def test_patching_and_replacing(batch):
    batch.job(priority=1, metadata=[{"name": "a", "value": "1"}])
    before = batch.wire_job()
    batch.clock.move(seconds=1)
    batch.service.patch_job("acct", "j", {"priority": 7})
    after = batch.wire_job()
    assert (after["priority"], after["metadata"]) == (7, before["metadata"])
    assert (after["eTag"] != before["eTag"], after["lastModified"] > before["lastModified"]) == (True, True)
    assert code_of(batch.service.patch_job, "acct", "j", {"usesTaskDependencies": True}) == "PropertyNotUpdatable"
    stale = Conditions(if_match=before["eTag"])
    assert code_of(batch.service.patch_job, "acct", "j", {"priority": 8}, conditions=stale) == "ConditionNotMet"
    batch.service.update_job("acct", "j", {"poolInfo": {"poolId": "p"}}, conditions=Conditions(if_match=after["eTag"]))
    replaced = batch.wire_job()
    assert (replaced["priority"], "metadata" in replaced) == (0, False)


def test_a_jobs_pool_changes_only_while_it_is_disabled(batch):
    batch.pool("q")
    batch.job()
    batch.task("t")
    other = {"poolInfo": {"poolId": "Q"}}
    assert code_of(batch.service.patch_job, "acct", "j", other) == "JobNotDisabled"
    batch.service.disable_job("acct", "j", {"disableTasks": "wait"})
    batch.service.patch_job("acct", "j", other)
    assert batch.wire_job()["executionInfo"]["poolId"] == "q"
    batch.service.enable_job("acct", "j")
    batch.turn()
    assert batch.state("t") == "completed"


@pytest.mark.parametrize(
    ("option", "states", "requeues"),
    [
        ("requeue", {"a": "active", "b": "active", "c": "active"}, 1),
        ("terminate", {"a": "completed", "b": "completed", "c": "active"}, 0),
    ],
)
def test_disabling_ends_running_tasks(batch, option, states, requeues):
    two_running(batch)
    assert str(batch.service.disable_job("acct", "j", {"disableTasks": option}).state) == "disabling"
    batch.turn()
    assert (batch.wire_job()["state"], batch.states()) == ("disabled", states)
    assert batch.service.get_task("acct", "j", "a").requeue_count == requeues
    assert batch.service.get_task("acct", "j", "a").retry_count == 0
    assert code_of(batch.service.disable_job, "acct", "j", {}) == "MissingRequiredProperty"
    batch.service.enable_job("acct", "j")
    batch.turn()
    assert batch.wire_job()["state"] == "active"
    assert "running" in batch.states().values()


def test_disabling_can_wait_for_running_tasks(batch):
    two_running(batch)
    batch.service.disable_job("acct", "j", {"disableTasks": "wait"})
    batch.turn()
    assert (batch.wire_job()["state"], batch.state("a")) == ("disabling", "running")
    batch.nodes.finish("a")
    batch.nodes.finish("b")
    batch.turn()
    assert (batch.wire_job()["state"], batch.state("c")) == ("disabled", "active")
    assert batch.service.explain("acct", "j", "c")[0].code == "JobDisabled"


def test_terminating_kills_what_runs_and_leaves_what_waits_for_ever(batch):
    two_running(batch)
    batch.service.terminate_job("acct", "j", {"terminateReason": "enough"})
    assert code_of(batch.task, "d") == "JobBeingTerminated"
    batch.turn()
    body = batch.wire_job()
    assert (body["state"], body["previousState"]) == ("completed", "terminating")
    assert body["executionInfo"]["terminateReason"] == "enough"
    assert body["executionInfo"]["endTime"]
    assert batch.states() == {"a": "completed", "b": "completed", "c": "active"}
    assert batch.wire_task("a")["executionInfo"]["failureInfo"]["code"] == "TaskEnded"
    assert code_of(batch.task, "d") == "JobCompleted"
    assert code_of(batch.service.terminate_job, "acct", "j") == "JobCompleted"
    reason = batch.service.explain("acct", "j", "c")[0]
    assert (reason.code, reason.hopeless) == ("JobNotActive", True)


def test_the_longest_time_of_a_job(batch):
    two_running(batch, constraints={"maxWallClockTime": "PT10M"})
    batch.clock.move(minutes=9)
    batch.turn()
    assert batch.wire_job()["state"] == "active"
    batch.clock.move(minutes=1)
    batch.turn()
    assert batch.wire_job()["executionInfo"]["terminateReason"] == "MaxWallClockTimeExpiry"


def test_deleting_takes_tasks_files_and_rows_with_it(batch):
    two_running(batch)
    batch.service.delete_job("acct", "j")
    assert code_of(batch.service.patch_job, "acct", "j", {"priority": 1}) == "JobBeingDeleted"
    assert code_of(batch.job) == "JobBeingDeleted"
    batch.turn()
    assert code_of(batch.service.get_job, "acct", "j") == "JobNotFound"
    assert ("tvm-0001", "workitems/j") in batch.nodes.removed
    for table in ("tasks", "jobs", "dependencies", "satisfied", "job_nodes"):
        assert batch.database.query(f"SELECT COUNT(*) AS n FROM batch_{table}")[0]["n"] == 0, table
    assert batch.database.query("SELECT COUNT(*) AS n FROM batch_attempts WHERE kind <> 'start'")[0]["n"] == 0
    batch.job()
    assert batch.states() == {}


# ---- what ends a job by itself


def test_all_tasks_complete(batch):
    batch.pool(taskSlotsPerNode=2)
    batch.job()
    batch.task("a", "exit 1")
    batch.task("b", "hang")
    batch.turn()
    batch.service.patch_job("acct", "j", {"onAllTasksComplete": "terminatejob"})
    batch.turn()
    assert batch.wire_job()["state"] == "active"
    batch.nodes.finish("b")
    batch.turn()
    assert batch.wire_job()["executionInfo"]["terminateReason"] == "AllTasksComplete"


def test_a_job_without_tasks_counts_as_all_complete(batch):
    batch.job(onAllTasksComplete="terminatejob")
    batch.turn()
    assert batch.wire_job()["state"] == "completed"


@pytest.mark.parametrize(
    ("exit_options", "state", "reason"),
    [
        (None, "completed", "TaskFailed"),
        ({"jobAction": "none"}, "active", None),
        ({"jobAction": "disable"}, "disabled", None),
        ({"jobAction": "Terminate"}, "completed", "TaskFailed"),
    ],
)
def test_what_a_failed_task_does_to_its_job(batch, exit_options, state, reason):
    batch.pool(taskSlotsPerNode=2)
    batch.job(onTaskFailure="performexitoptionsjobaction")
    conditions = {"exitConditions": {"default": exit_options}} if exit_options else {}
    batch.task("ok", **conditions)
    batch.task("bad", "exit 1", constraints={"maxTaskRetryCount": 1}, **conditions)
    batch.turn()
    assert (batch.wire_job()["state"], batch.wire_job()["executionInfo"].get("terminateReason")) == (state, reason)
    assert batch.nodes.order.count("bad") == 2


def test_the_job_manager_runs_first_and_alone_and_ends_its_job(batch):
    batch.pool(taskSlotsPerNode=4)
    batch.job(jobManagerTask={"id": "boss", "commandLine": "hang"})
    batch.task("w", "hang")
    assert code_of(batch.task, "Boss") == "TaskIdSameAsJobManagerTask"
    batch.turn()
    assert batch.states() == {"boss": "running", "w": "active"}
    batch.nodes.finish("boss")
    batch.turn()
    assert batch.wire_job()["executionInfo"]["terminateReason"] == "JMComplete"


def test_a_job_manager_may_share_its_node_and_leave_its_job_alone(batch):
    manager = {"id": "boss", "commandLine": "exit 0", "killJobOnCompletion": False, "runExclusive": False}
    batch.pool(taskSlotsPerNode=4)
    batch.job(jobManagerTask=manager)
    batch.task("w", "hang")
    batch.turn()
    assert (batch.states(), batch.wire_job()["state"]) == ({"boss": "completed", "w": "running"}, "active")


def test_priority_and_order_of_creation(batch):
    batch.job("low", priority=-5)
    batch.job("high", priority=5)
    for name in ("l1", "l2"):
        batch.task(name, job="low")
    for name in ("h1", "h2"):
        batch.task(name, job="high")
    batch.pool()
    batch.turn()
    assert batch.nodes.order == ["h1", "h2", "l1", "l2"]


# ---- preparation and release


def prepared_job(batch, prep="exit 0", release="exit 0", nodes=1, **more):
    batch.pool(nodes=nodes, taskSlotsPerNode=2)
    batch.job(
        jobPreparationTask={"commandLine": prep, **more},
        jobReleaseTask={"commandLine": release},
        commonEnvironmentSettings=[{"name": "COMMON", "value": "1"}],
    )


def status(batch):
    return [wire.prep_release_json(item, BASE) for item in batch.service.prep_release_status("acct", "j")]


def test_preparation_runs_before_the_first_task_on_a_node_and_release_at_the_end(batch):
    prepared_job(batch, prep="hang", nodes=2)
    batch.service.prepare_pool("acct", "p")
    batch.task("a", "hang")
    batch.task("b", "hang")
    batch.turn()
    assert batch.states() == {"a": "preparing", "b": "preparing"}
    assert [item["jobPreparationTaskExecutionInfo"]["state"] for item in status(batch)] == ["running", "running"]
    assert batch.service.explain("acct", "j", "a")[0].code == "JobPreparationRunning"
    batch.nodes.finish("jobpreparation")
    batch.turn()
    assert sorted(batch.states().values()) == ["preparing", "running"]
    batch.nodes.finish("jobpreparation")
    batch.turn()
    assert batch.states() == {"a": "running", "b": "running"}
    launch = next(item for item in batch.nodes.launched.values() if item.kind == "prep")
    assert (launch.folder, launch.environment) == (("workitems", "j", "job-1", "jobpreparation"), {"COMMON": "1"})
    assert batch.nodes.order.count("jobrelease") == 0
    batch.service.terminate_job("acct", "j")
    batch.turn()
    assert batch.wire_job()["state"] == "completed"
    assert batch.nodes.order.count("jobrelease") == 2
    first = status(batch)[0]
    assert first["nodeUrl"] == f"{BASE}/pools/p/nodes/tvm-0001"
    assert first["jobReleaseTaskExecutionInfo"]["result"] == "success"
    assert first["jobPreparationTaskExecutionInfo"]["exitCode"] == 0
    root = first["jobPreparationTaskExecutionInfo"]["taskRootDirectoryUrl"]
    assert root.endswith("/files/workitems/j/job-1/jobpreparation")


def test_a_second_task_needs_no_second_preparation(batch):
    prepared_job(batch)
    batch.task("a")
    batch.turn()
    batch.task("b")
    batch.turn()
    assert batch.nodes.order == ["jobpreparation", "a", "b"]


def test_a_failed_preparation_is_retried_then_keeps_tasks_off_the_node(batch):
    prepared_job(batch, prep="exit 3", constraints={"maxTaskRetryCount": 2})
    batch.task("a")
    batch.turn()
    assert batch.nodes.order == ["jobpreparation"] * 3
    assert batch.state("a") == "active"
    info = status(batch)[0]["jobPreparationTaskExecutionInfo"]
    assert (info["result"], info["exitCode"], info["retryCount"]) == ("failure", 3, 2)
    reason = batch.service.explain("acct", "j", "a")[0]
    assert (reason.code, reason.hopeless) == ("JobPreparationFailed", True)
    batch.job("other")
    batch.task("o", job="other")
    batch.turn()
    assert batch.state("o", "other") == "completed"


def test_a_preparation_that_works_at_its_second_try(batch):
    prepared_job(batch, prep="exit 1 then 0", constraints={"maxTaskRetryCount": 1})
    batch.task("a")
    batch.turn()
    assert batch.state("a") == "completed"


def test_tasks_need_not_wait_for_preparation(batch):
    prepared_job(batch, prep="hang", waitForSuccess=False)
    batch.task("a")
    batch.turn()
    assert batch.state("a") == "completed"


@pytest.mark.parametrize("again", [True, False])
def test_preparation_after_a_reboot(batch, again):
    prepared_job(batch, rerunOnNodeRebootAfterSuccess=again)
    batch.task("a")
    batch.turn()
    batch.clock.move(seconds=5)
    batch.service.reboot_node("acct", "p", "tvm-0001")
    batch.turn()
    batch.clock.move(seconds=5)
    batch.task("b")
    batch.turn()
    assert batch.state("b") == "completed"
    assert batch.nodes.order.count("jobpreparation") == (2 if again else 1)


def test_a_failing_release_does_not_keep_the_job(batch):
    prepared_job(batch, release="exit 9")
    batch.task("a")
    batch.turn()
    batch.service.delete_job("acct", "j")
    batch.turn()
    assert batch.nodes.order == ["jobpreparation", "a", "jobrelease"]
    assert code_of(batch.service.get_job, "acct", "j") == "JobNotFound"


def test_release_runs_once(batch):
    prepared_job(batch)
    batch.task("a")
    batch.turn()
    batch.service.terminate_job("acct", "j")
    batch.turn()
    batch.service.delete_job("acct", "j")
    batch.turn()
    assert batch.nodes.order.count("jobrelease") == 1


def release_that_ends(batch, ending):
    """A release that hangs, and of which a node is told to have ended like this."""
    prepared_job(batch, release="hang")
    batch.task("a")
    batch.turn()
    batch.service.terminate_job("acct", "j")
    batch.turn()
    (attempt,) = batch.service._store.open_attempts()
    batch.service._scheduler._ledger.settle(attempt, ending)
    batch.service._scheduler._ledger.gone([attempt])
    batch.turn()


def test_a_release_that_never_began_is_begun_again(batch):
    """Its process was killed between writing it down and launching it, and another one fenced it."""
    release_that_ends(batch, Fenced())
    assert batch.wire_job()["state"] == "terminating"
    assert [item["jobReleaseTaskExecutionInfo"]["state"] for item in status(batch)] == ["running"]
    batch.nodes.finish("jobrelease")
    batch.turn()
    assert batch.wire_job()["state"] == "completed"


def test_a_release_that_was_lost_does_not_run_twice(batch):
    release_that_ends(batch, Lost())
    assert batch.wire_job()["state"] == "completed"
    assert [item["jobReleaseTaskExecutionInfo"]["result"] for item in status(batch)] == ["failure"]


def test_terminating_while_preparation_runs(batch):
    prepared_job(batch, prep="hang")
    batch.task("a")
    batch.turn()
    assert batch.state("a") == "preparing"
    batch.service.terminate_job("acct", "j")
    batch.turn()
    assert (batch.wire_job()["state"], batch.state("a")) == ("completed", "completed")


def test_disabling_while_preparation_runs_only_puts_it_off(batch):
    prepared_job(batch, prep="hang")
    batch.task("a")
    batch.turn()
    batch.service.disable_job("acct", "j", {"disableTasks": "requeue"})
    batch.turn()
    assert (batch.wire_job()["state"], batch.state("a")) == ("disabled", "active")
    batch.service.enable_job("acct", "j")
    batch.turn()
    assert (batch.nodes.order, batch.state("a")) == (["jobpreparation", "jobpreparation"], "preparing")
    batch.nodes.finish("jobpreparation")
    batch.turn()
    assert batch.state("a") == "completed"


def test_names_of_preparation_and_release_are_taken(batch):
    prepared_job(batch)
    assert code_of(batch.task, "JobPreparation") == "TaskIdSameAsJobPreparationTask"
    assert code_of(batch.task, "jobrelease") == "TaskIdSameAsJobReleaseTask"
    batch.job("plain")
    assert code_of(batch.service.prep_release_status, "acct", "plain") == "JobPreparationTaskNotSpecified"


# ---- auto pools


def auto(lifetime="job", keep=False, **pool):
    return {
        "autoPoolSpecification": {
            "autoPoolIdPrefix": "auto",
            "poolLifetimeOption": lifetime,
            "keepAlive": keep,
            "pool": {"vmSize": "local", "targetDedicatedNodes": 1, **pool},
        }
    }


@pytest.mark.parametrize("keep", [False, True])
def test_an_auto_pool_lives_as_long_as_its_job(batch, keep):
    batch.job(poolInfo=auto(keep=keep))
    pool_id = batch.wire_job()["executionInfo"]["poolId"]
    assert pool_id.startswith("auto_")
    batch.task("t")
    batch.turn()
    assert batch.state("t") == "completed"
    batch.service.terminate_job("acct", "j")
    batch.turn()
    assert [pool.id for pool in batch.service.pools("acct")] == ([pool_id] if keep else [])


def test_an_auto_pool_that_cannot_be_made_ends_the_job(batch, monkeypatch):
    monkeypatch.setattr(limits, "POOLS_PER_ACCOUNT", 0)
    batch.job(poolInfo=auto())
    body = batch.wire_job()
    assert (body["state"], body["executionInfo"]["schedulingError"]["category"]) == ("completed", "UserError")
    wrong = {"id": "k", "poolInfo": auto(vmSize=None)}
    assert code_of(batch.service.add_job, "acct", wrong) == "MissingRequiredProperty"
    wrong = {"id": "k", "poolInfo": auto("jobschedule")}
    assert code_of(batch.service.add_job, "acct", wrong) == "InvalidPropertyValue"


# ---- schedules


def schedule(batch, job=None, **times):
    specification = {"poolInfo": {"poolId": "p"}, **(job or {})}
    body = {"id": "s", "schedule": times, "jobSpecification": specification}
    return batch.service.add_schedule("acct", body)


def shown(batch):
    return wire.schedule_json(batch.service.get_schedule("acct", "s"), BASE)


def jobs(batch):
    return {job.id: str(job.state) for job in batch.service.jobs_of_schedule("acct", "s")}


def test_a_job_that_cannot_be_made_yet_keeps_nothing_else_from_moving(batch, monkeypatch):
    batch.pool()
    batch.job()
    schedule(batch, recurrenceInterval="PT1M")
    monkeypatch.setattr(limits, "ACTIVE_JOBS_PER_ACCOUNT", 2)
    batch.task("a")
    batch.turn()
    assert str(batch.service.get_task("acct", "j", "a").state) == "completed"
    assert jobs(batch) == {}
    monkeypatch.setattr(limits, "ACTIVE_JOBS_PER_ACCOUNT", 3)
    batch.turn()
    assert jobs(batch) == {"s:job-1": "active"}


@pytest.mark.parametrize("span", ["P9999999D", "P10675199DT2H48M5.4775807S", "P99999999999D"])
def test_spans_beyond_the_calendar_are_without_limit(batch, span):
    batch.pool()
    batch.job(constraints={"maxWallClockTime": span})
    batch.task("a", constraints={"maxWallClockTime": span, "retentionTime": span})
    schedule(batch, recurrenceInterval=span, startWindow=span)
    batch.turn()
    assert str(batch.service.get_task("acct", "j", "a").state) == "completed"
    assert batch.wire_task("a")["constraints"]["retentionTime"] == "P10675199DT2H48M5.4775807S"
    batch.clock.move(days=30)
    batch.service.sweep()
    assert batch.nodes.removed == []


def test_a_schedule_without_recurrence_makes_one_job_and_completes(batch):
    schedule(batch)
    batch.turn()
    assert jobs(batch) == {"s:job-1": "active"}
    recent = shown(batch)["executionInfo"]["recentJob"]
    assert recent == {"id": "s:job-1", "url": f"{BASE}/jobs/s:job-1"}
    assert shown(batch)["state"] == "active"
    batch.service.terminate_job("acct", "s:job-1")
    batch.turn()
    assert (shown(batch)["state"], jobs(batch)) == ("completed", {"s:job-1": "completed"})


def test_one_job_at_a_time_and_the_next_when_it_is_over(batch):
    schedule(batch, recurrenceInterval="PT1M")
    batch.turn()
    batch.clock.move(seconds=90)
    batch.turn()
    assert jobs(batch) == {"s:job-1": "active"}
    batch.service.terminate_job("acct", "s:job-1")
    batch.turn()
    assert jobs(batch) == {"s:job-1": "completed", "s:job-2": "active"}
    assert shown(batch)["executionInfo"]["nextRunTime"] == "2026-03-01T12:02:00.000000Z"


def test_an_occurrence_is_lost_when_its_window_is_over(batch):
    schedule(batch, recurrenceInterval="PT10M", startWindow="PT1M")
    batch.turn()
    batch.clock.move(minutes=12)
    batch.service.terminate_job("acct", "s:job-1")
    batch.turn()
    assert jobs(batch) == {"s:job-1": "completed"}
    assert shown(batch)["executionInfo"]["nextRunTime"] == "2026-03-01T12:20:00.000000Z"
    batch.clock.move(minutes=8)
    batch.turn()
    assert list(jobs(batch)) == ["s:job-1", "s:job-2"]


def test_not_before_and_not_after(batch):
    schedule(
        batch,
        {"onAllTasksComplete": "terminatejob"},
        doNotRunUntil="2026-03-01T13:00:00Z",
        doNotRunAfter="2026-03-01T14:00:00Z",
        recurrenceInterval="PT1H",
    )
    batch.turn()
    assert jobs(batch) == {}
    batch.clock.move(hours=1)
    batch.turn()
    assert jobs(batch) == {"s:job-1": "completed"}
    batch.clock.move(hours=1, seconds=1)
    batch.turn()
    assert (shown(batch)["state"], list(jobs(batch))) == ("completed", ["s:job-1"])


def test_a_disabled_schedule_makes_no_jobs(batch):
    schedule(batch, recurrenceInterval="PT1M", doNotRunUntil="2026-03-01T12:01:00Z")
    batch.service.disable_schedule("acct", "s")
    assert code_of(batch.service.disable_schedule, "acct", "s") == "JobScheduleDisabled"
    batch.clock.move(minutes=2)
    batch.turn()
    assert jobs(batch) == {}
    batch.service.enable_schedule("acct", "s")
    assert code_of(batch.service.enable_schedule, "acct", "s") == "JobScheduleNotDisabled"
    batch.turn()
    assert list(jobs(batch)) == ["s:job-1"]


def test_terminating_a_schedule_ends_its_job(batch):
    schedule(batch, recurrenceInterval="PT1M")
    batch.turn()
    batch.service.terminate_schedule("acct", "s")
    batch.turn()
    assert (shown(batch)["state"], jobs(batch)) == ("completed", {"s:job-1": "completed"})
    reason = batch.wire_job("s:job-1")["executionInfo"]["terminateReason"]
    assert reason == "TerminateJobSchedule"
    assert code_of(batch.service.enable_schedule, "acct", "s") == "JobScheduleCompleted"


def test_deleting_a_schedule_deletes_its_jobs(batch):
    schedule(batch, recurrenceInterval="PT1M")
    batch.turn()
    batch.service.delete_schedule("acct", "s")
    batch.turn()
    assert code_of(batch.service.get_schedule, "acct", "s") == "JobScheduleNotFound"
    assert batch.service.jobs("acct") == []


def test_schedules_and_jobs_do_not_share_ids(batch):
    schedule(batch)
    assert code_of(batch.job, "S") == "JobScheduleWithSameIdExists"
    assert code_of(schedule, batch) == "JobScheduleExists"
    batch.job("t")
    body = {"id": "t", "schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    assert code_of(batch.service.add_schedule, "acct", body) == "JobWithSameIdExists"


def test_a_changed_schedule_is_due_anew(batch):
    schedule(batch, recurrenceInterval="PT1M", doNotRunUntil="2026-03-01T13:00:00Z")
    before = shown(batch)
    batch.clock.move(seconds=1)
    batch.service.patch_schedule("acct", "s", {"metadata": [{"name": "a", "value": "b"}]})
    after = shown(batch)
    assert (after["eTag"] != before["eTag"], after["executionInfo"]) == (True, before["executionInfo"])
    changed = {"schedule": {"recurrenceInterval": "PT2M"}}
    batch.service.patch_schedule("acct", "s", changed, conditions=Conditions(if_match=after["eTag"]))
    batch.turn()
    assert list(jobs(batch)) == ["s:job-1"]
    replaced = {"schedule": {}, "jobSpecification": {"poolInfo": {"poolId": "q"}}}
    batch.service.update_schedule("acct", "s", replaced)
    assert "metadata" not in shown(batch)
    assert code_of(batch.service.patch_schedule, "acct", "s", {"id": "x"}) == "PropertyNotUpdatable"


def test_an_auto_pool_of_a_schedule_outlives_its_jobs(batch):
    specification = {"poolInfo": auto("jobschedule"), "onAllTasksComplete": "terminatejob"}
    body = {"id": "s", "schedule": {"recurrenceInterval": "PT1M"}, "jobSpecification": specification}
    batch.service.add_schedule("acct", body)
    batch.turn()
    first = batch.wire_job("s:job-1")["executionInfo"]["poolId"]
    batch.clock.move(minutes=1)
    batch.turn()
    assert batch.wire_job("s:job-2")["executionInfo"]["poolId"] == first
    batch.service.terminate_schedule("acct", "s")
    batch.turn()
    assert batch.service.pools("acct") == []
