"""Tasks: documents, collections, dependencies, exit options, retries, reactivation, counts, explanations."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_kit import BASE, opened
from kyanite import limits
from kyanite.batch import wire
from kyanite.batch.conditions import Conditions
from kyanite.batch.model import Task
from kyanite.errors import BatchError, KyaniteError


@pytest.fixture
def batch(tmp_path):
    with opened(tmp_path) as made:
        made.pool(taskSlotsPerNode=4)
        made.job()
        made.job("deps", usesTaskDependencies=True, onTaskFailure="performexitoptionsjobaction")
        yield made


def code_of(call, *arguments, **named):
    with pytest.raises(KyaniteError) as caught:
        call(*arguments, **named)
    return caught.value.error_code


# ---- documents


def test_a_task_as_it_comes_back(batch):
    batch.task(
        "t",
        "exit 0",
        displayName="Name",
        environmentSettings=[{"name": "A", "value": "1"}],
        resourceFiles=[],
        requiredSlots="2",
        constraints={"maxWallClockTime": "PT1M"},
        somethingNew=[1],
    )
    body = batch.wire_task("t")
    assert body["url"] == f"{BASE}/jobs/j/tasks/t"
    assert (body["state"], body["commandLine"], body["requiredSlots"]) == ("active", "exit 0", 2)
    expected = {"maxWallClockTime": "PT1M", "retentionTime": "P7D", "maxTaskRetryCount": 0}
    assert (body["constraints"], body["somethingNew"]) == (expected, [1])
    assert body["executionInfo"] == {"retryCount": 0, "requeueCount": 0}
    assert not {"nodeInfo", "previousState", "stats"} & set(body)
    batch.turn()
    body = batch.wire_task("t")
    assert (body["state"], body["previousState"]) == ("completed", "running")
    assert (body["executionInfo"]["exitCode"], body["executionInfo"]["result"]) == (0, "success")
    assert body["nodeInfo"] == {
        "affinityId": "TVM:tvm-0001",
        "nodeUrl": f"{BASE}/pools/p/nodes/tvm-0001",
        "poolId": "p",
        "nodeId": "tvm-0001",
        "taskRootDirectory": "workitems/j/job-1/t",
        "taskRootDirectoryUrl": f"{BASE}/pools/p/nodes/tvm-0001/files/workitems/j/job-1/t",
    }


def test_unset_constraints_have_the_services_defaults(batch):
    batch.job("again", constraints={"maxTaskRetryCount": 3})
    batch.task("t", job="again")
    assert batch.wire_task("t", "again")["constraints"] == {
        "maxWallClockTime": "P10675199DT2H48M5.4775807S",
        "retentionTime": "P7D",
        "maxTaskRetryCount": 3,
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": None}, "MissingRequiredProperty"),
        ({"id": "a b"}, "InvalidPropertyValue"),
        ({"commandLine": ""}, "MissingRequiredProperty"),
        ({"commandLine": "echo 'x"}, "InvalidPropertyValue"),
        ({"requiredSlots": 0}, "InvalidPropertyValue"),
        ({"constraints": {"maxWallClockTime": "PT0S"}}, "InvalidPropertyValue"),
        ({"constraints": {"maxTaskRetryCount": -2}}, "InvalidPropertyValue"),
        ({"constraints": {"retentionTime": "-PT1S"}}, "InvalidPropertyValue"),
        ({"containerSettings": {"imageName": "x"}}, "UnsupportedProperty"),
        ({"multiInstanceSettings": {"coordinationCommandLine": "x"}}, "UnsupportedProperty"),
        ({"authenticationTokenSettings": {"access": ["job"]}}, "UnsupportedProperty"),
        ({"userIdentity": {"username": "me"}}, "UnsupportedProperty"),
        ({"userIdentity": {"autoUser": {"scope": "galaxy"}}}, "InvalidPropertyValue"),
        ({"dependsOn": {"taskIds": ["a"]}}, "TaskDependenciesNotSpecifiedOnJob"),
        ({"exitConditions": {"default": {"jobAction": "terminate"}}}, "InvalidPropertyValue"),
        ({"resourceFiles": [{"httpUrl": "u", "filePath": "/etc/x"}]}, "InvalidPropertyValue"),
        ({"environmentSettings": [{"name": "A=B", "value": ""}]}, "InvalidPropertyValue"),
        ({"applicationPackageReferences": [{"applicationId": "x"}]}, "InvalidApplicationPackageReferences"),
    ],
)
def test_tasks_that_cannot_be(batch, change, code):
    body = {"id": "t", "commandLine": "exit 0"} | change
    assert code_of(batch.service.add_task, "acct", "j", body) == code


def test_task_ids_collide_whatever_their_case(batch):
    batch.task("t")
    assert code_of(batch.task, "T") == "TaskExists"
    assert code_of(batch.service.get_task, "acct", "j", "x") == "TaskNotFound"
    assert code_of(batch.service.get_task, "acct", "none", "x") == "JobNotFound"


# ---- collections


def test_a_collection_says_of_each_task_what_became_of_it(batch):
    batch.task("there")
    documents = [
        {"id": "a", "commandLine": "exit 0"},
        {"id": "there", "commandLine": "exit 0"},
        {"id": "b", "commandLine": ""},
        "nonsense",
        {"id": "c", "commandLine": "exit 0", "containerSettings": {"imageName": "x"}},
        {"id": "a", "commandLine": "exit 1"},
        {"id": "d", "commandLine": "exit 0"},
    ]
    results = batch.service.add_tasks("acct", "j", documents)
    told = [item.id if isinstance(item, Task) else item.error_code for item in results]
    assert told == [
        "a",
        "TaskExists",
        "MissingRequiredProperty",
        "InvalidRequestBody",
        "UnsupportedProperty",
        "TaskExists",
        "d",
    ]
    batch.turn()
    assert batch.states() == {"there": "completed", "a": "completed", "d": "completed"}
    assert batch.wire_task("a")["executionInfo"]["exitCode"] == 0


def test_a_collection_has_at_most_100_tasks(batch):
    documents = [{"id": f"t{number}", "commandLine": "exit 0"} for number in range(101)]
    assert code_of(batch.service.add_tasks, "acct", "j", documents) == "RequestBodyTooLarge"
    assert len(batch.service.add_tasks("acct", "j", documents[:100])) == 100
    assert [task.id for task in batch.service.list_tasks("acct", "j", after="t97")] == ["t98", "t99"]


# ---- dependencies


def needs(*ids, ranges=()):
    return {"taskIds": list(ids), "taskIdRanges": [{"start": first, "end": last} for first, last in ranges]}


def test_a_task_waits_for_those_it_depends_on(batch):
    batch.task("c", job="deps", dependsOn=needs("A", "b"))
    batch.task("a", "hang", job="deps")
    batch.turn()
    assert batch.states("deps") == {"c": "active", "a": "running"}
    reasons = {reason.message for reason in batch.service.explain("acct", "deps", "c")}
    assert any("'a', which is running" in reason for reason in reasons)
    assert any("'b', which is not in the job" in reason for reason in reasons)
    batch.nodes.finish("a")
    batch.turn()
    assert batch.state("c", "deps") == "active"
    batch.task("b", job="deps")
    batch.turn()
    assert batch.states("deps") == {"c": "completed", "a": "completed", "b": "completed"}
    assert batch.nodes.order[-1] == "c"


def test_what_is_done_already_is_not_waited_for(batch):
    batch.task("a", job="deps")
    batch.task("7", job="deps")
    batch.turn()
    batch.task("c", job="deps", dependsOn=needs("a", ranges=[(7, 7)]))
    batch.turn()
    assert batch.state("c", "deps") == "completed"


def test_a_failed_task_blocks_until_it_is_reactivated(batch):
    batch.task("a", "exit 1 then 0", job="deps", exitConditions={"default": {"jobAction": "none"}})
    batch.task("c", job="deps", dependsOn=needs("a"))
    batch.turn()
    assert batch.states("deps") == {"a": "completed", "c": "active"}
    reason = batch.service.explain("acct", "deps", "c")[0]
    assert (reason.code, reason.hopeless) == ("DependencyBlocked", True)
    batch.service.reactivate_task("acct", "deps", "a")
    batch.turn()
    assert batch.states("deps") == {"a": "completed", "c": "completed"}


@pytest.mark.parametrize(("action", "state"), [("satisfy", "completed"), ("block", "active")])
def test_exit_options_decide_over_dependents(batch, action, state):
    options = {"exitOptions": {"dependencyAction": action, "jobAction": "none"}}
    batch.task("a", "exit 4", job="deps", exitConditions={"exitCodes": [{"code": 4, **options}]})
    batch.task("c", job="deps", dependsOn=needs("a"))
    batch.turn()
    assert batch.state("c", "deps") == state


def test_the_first_of_ids_that_are_the_same_integer_counts(batch):
    batch.task("sum", job="deps", dependsOn=needs(ranges=[(1, 3)]))
    for name in ("1", "01", "001", "2", "3x"):
        batch.task(name, job="deps")
    batch.turn()
    assert batch.state("sum", "deps") == "active"
    reasons = batch.service.explain("acct", "deps", "sum")
    assert [reason.message for reason in reasons] == ["The task depends on '3', which is not in the job."]
    batch.task("03", job="deps")
    batch.turn()
    assert batch.state("sum", "deps") == "completed"


def test_a_task_that_depends_on_itself_only_hurts_itself(batch):
    batch.task("a", job="deps", dependsOn=needs("a"))
    batch.task("b", job="deps")
    batch.turn()
    assert batch.states("deps") == {"a": "active", "b": "completed"}
    batch.service.delete_task("acct", "deps", "a")
    assert batch.states("deps") == {"b": "completed"}
    assert batch.database.query("SELECT * FROM batch_dependencies") == []


IDS = ["a", "B", "0", "1", "2", "02", "3", "5"]
DEPENDS = st.tuples(
    st.lists(st.sampled_from(IDS), max_size=2),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted), max_size=2),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(IDS), st.lists(st.booleans(), min_size=8, max_size=8), st.lists(DEPENDS, min_size=1, max_size=4))
def test_dependents_start_exactly_when_all_they_need_is_done(tmp_path_factory, order, succeed, wanted):
    with opened(tmp_path_factory.mktemp("deps")) as batch:
        batch.pool(taskSlotsPerNode=4)
        batch.job(usesTaskDependencies=True)
        for number, (ids, ranges) in enumerate(wanted[::2]):
            batch.task(f"early{number}", dependsOn=needs(*ids, ranges=ranges))
        for name, good in zip(order, succeed, strict=True):
            batch.task(name, "exit 0" if good else "exit 1")
            batch.turn()
        for number, (ids, ranges) in enumerate(wanted[1::2]):
            batch.task(f"late{number}", dependsOn=needs(*ids, ranges=ranges))
        batch.turn()
        done = {name.casefold() for name, good in zip(order, succeed, strict=True) if good}
        numbers = {int(name) for name in done if name.isdigit()}
        everything = [("early", item) for item in enumerate(wanted[::2])]
        everything += [("late", item) for item in enumerate(wanted[1::2])]
        for kind, (number, (ids, ranges)) in everything:
            met = all(name.casefold() in done for name in ids)
            met &= all(number in numbers for first, last in ranges for number in range(first, last + 1))
            assert batch.state(f"{kind}{number}") == ("completed" if met else "active")
        assert batch.database.query("SELECT * FROM batch_tasks WHERE unmet < 0") == []


def test_a_task_that_waits_for_a_thousand_has_few_rows(batch):
    """Counted in rows, not seconds: a completed task touches only the blocks it lies in."""
    store = batch.service._store
    for number in range(0, 1000, 100):
        documents = [
            {"id": str(each), "commandLine": "exit 0", "dependsOn": needs(ranges=[(0, each - 1)] if each else [])}
            for each in range(number, number + 100)
        ]
        batch.service.add_tasks("acct", "deps", documents)
    count = "SELECT COUNT(*) AS n FROM batch_dependencies"
    assert batch.database.query(count)[0]["n"] < 1000 * 10
    waiting = {"account": "acct", "pool": "p", "job": "deps", "widest": 4, "most": 100}
    assert [row["sequence"] for row in store.rows("waiting_tasks", **waiting)] == [1]
    for _ in range(6):
        batch.service.pump()
    while batch.service._scheduler._keeper._busy:
        batch.service.pump()
    for _ in range(40):
        batch.service._scheduler.notify()
        batch.service.pump()
    done = [task.id for task in batch.service.list_tasks("acct", "deps") if task.state == "completed"]
    assert len(done) > 10
    assert done == [str(number) for number in range(len(done))]
    assert len(store.rows("waiting_tasks", **waiting)) <= 1


def plan(batch, statement, **arguments):
    from kyanite.batch.store import SQL

    return " | ".join(row["detail"] for row in batch.database.query("EXPLAIN QUERY PLAN " + SQL[statement], arguments))


def test_the_queries_of_a_turn_use_their_indices(batch):
    place = {"account": "acct", "pool": "p", "job": "j"}
    assert "batch_tasks_ready" in plan(batch, "waiting_tasks", widest=1, most=1, **place)
    assert "TEMP B-TREE" not in plan(batch, "waiting_tasks", widest=1, most=1, **place)
    pools = plan(batch, "waiting_pools")
    assert "batch_jobs_active" in pools and "batch_tasks_ready" in pools
    assert "batch_tasks_ready" in plan(batch, "waiting_jobs", account="acct", pool="p")
    for statement, more in {
        "nodes": {},
        "holders": {},
        "node_counts": {},
        "stop_attempts_on_node": {"node": "n"},
        "stop_tasks_on_node": {"node": "n", "reason": "Requeued"},
    }.items():  # what is running now, not all that ever ran there
        named = {"account": "acct", **({} if statement == "node_counts" else {"pool": "p"}), **more}
        assert "batch_attempts_node" not in plan(batch, statement, **named), statement
    assert "batch_tasks_counted" in plan(batch, "task_counts", account="acct", job="j")
    assert "SCAN" not in plan(batch, "unfinished_tasks", account="acct", job="j").replace("SCAN CONSTANT ROW", "")
    for name, index in (("jobs_to_look_at", "batch_jobs_attention"), ("stops_wanted", "batch_attempts_stop")):
        assert index in plan(batch, name)
    assert "PRIMARY KEY" in plan(batch, "count_down", account="a", job="j", needs="=x")
    assert "batch_jobs_deadline" in plan(batch, "jobs_over_time", at="2")
    assert "batch_tasks_listed" in plan(batch, "tasks", account="a", job="j", after=1, limit=1, state=None, prefix="")


def test_a_task_goes_to_the_node_it_prefers_when_it_fits_there(batch):
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 3})
    batch.service.prepare_pool("acct", "p")
    for name, affinity in (("a", "TVM:tvm-0003"), ("b", "tvm-0003"), ("c", "gone"), ("d", "TVM:tvm-0003")):
        batch.task(name, "hang", affinityInfo={"affinityId": affinity}, requiredSlots=2)
    batch.turn()
    nodes = {task.id: task.node_id for task in batch.service.tasks("acct", "j")}
    assert (nodes["a"], nodes["b"]) == ("tvm-0003", "tvm-0003")
    assert None not in nodes.values()
    assert batch.wire_task("a")["nodeInfo"]["affinityId"] == "TVM:tvm-0003"


# ---- retries and ends


def test_three_counters_apart(batch):
    batch.task("t", "exit 1 then 0", constraints={"maxTaskRetryCount": 2})
    batch.turn()
    info = batch.wire_task("t")["executionInfo"]
    assert (info["exitCode"], info["retryCount"], info["requeueCount"]) == (0, 1, 0)
    assert "lastRetryTime" in info
    assert "lastRequeueTime" not in info
    batch.task("u", "hang")
    batch.turn()
    batch.service.reboot_node("acct", "p", "tvm-0001")
    batch.turn()
    info = batch.wire_task("u")["executionInfo"]
    assert (info["retryCount"], info["requeueCount"]) == (0, 1)
    assert "lastRequeueTime" in info
    assert batch.service.get_task("acct", "j", "u").loss_count == 0


def test_a_task_ended_by_its_user(batch):
    batch.task("t", "hang")
    batch.task("w", "hang", requiredSlots=4)
    batch.turn()
    batch.service.terminate_task("acct", "j", "w")
    assert batch.state("w") == "completed"
    batch.service.terminate_task("acct", "j", "t")
    batch.turn()
    info = batch.wire_task("t")["executionInfo"]
    assert (info["result"], info["failureInfo"]["code"], info["failureInfo"]["category"]) == (
        "failure",
        "TaskEnded",
        "UserError",
    )
    assert code_of(batch.service.terminate_task, "acct", "j", "t") == "TaskCompleted"


def test_reactivating(batch):
    batch.task("good")
    batch.task("bad", "exit 2 then 0", constraints={"maxTaskRetryCount": 0})
    batch.task("running", "hang")
    batch.turn()
    assert code_of(batch.service.reactivate_task, "acct", "j", "good") == "OperationInvalidForCurrentState"
    assert code_of(batch.service.reactivate_task, "acct", "j", "running") == "OperationInvalidForCurrentState"
    before = batch.wire_task("bad")
    batch.clock.move(seconds=1)
    batch.service.reactivate_task("acct", "j", "bad")
    again = batch.wire_task("bad")
    assert (again["state"], again["previousState"]) == ("active", "completed")
    assert again["executionInfo"] == {"retryCount": 0, "requeueCount": 0}
    assert again["eTag"] != before["eTag"]
    batch.turn()
    assert batch.wire_task("bad")["executionInfo"]["exitCode"] == 0
    batch.service.terminate_job("acct", "j")
    batch.turn()
    assert code_of(batch.service.reactivate_task, "acct", "j", "running") == "JobCompleted"


def test_only_constraints_change(batch):
    batch.task("t", "hang", constraints={"maxTaskRetryCount": 2})
    tag = batch.wire_task("t")["eTag"]
    batch.clock.move(seconds=1)
    stale = Conditions(if_match="0x0")
    assert code_of(batch.service.update_task, "acct", "j", "t", {}, conditions=stale) == "ConditionNotMet"
    changed = {"constraints": {"retentionTime": "PT1H"}}
    batch.service.update_task("acct", "j", "t", changed, conditions=Conditions(if_match=tag))
    body = batch.wire_task("t")
    assert (body["constraints"]["retentionTime"], body["constraints"]["maxTaskRetryCount"]) == ("PT1H", 0)
    assert body["commandLine"] == "hang"
    batch.turn()
    batch.nodes.finish("t")
    batch.turn()
    assert code_of(batch.service.update_task, "acct", "j", "t", changed) == "TaskCompleted"
    batch.clock.move(hours=2)
    batch.service.sweep()
    assert batch.service.get_task("acct", "j", "t").files_removed


def test_counts_of_tasks_and_slots(batch):
    for name, command, slots in (("a", "exit 0", 1), ("b", "exit 1", 2), ("c", "hang", 3), ("d", "hang", 4)):
        batch.task(name, command, requiredSlots=slots)
    batch.turn()
    counts = wire.task_counts_json(batch.service.task_counts("acct", "j"))
    assert counts == {
        "taskCounts": {"active": 1, "running": 1, "completed": 2, "succeeded": 1, "failed": 1},
        "taskSlotCounts": {"active": 4, "running": 3, "completed": 3, "succeeded": 1, "failed": 2},
    }


# ---- why


@pytest.mark.parametrize(
    ("arrange", "code"),
    [
        (lambda b: b.service.patch_job("acct", "j", {"maxParallelTasks": 1}), "MaxParallelTasks"),
        (lambda b: b.task("other", "hang", requiredSlots=4), "NoFreeSlot"),
        (lambda b: b.service.disable_job("acct", "j", {"disableTasks": "wait"}), "JobDisabled"),
        (lambda b: b.service.disable_scheduling("acct", "p", "tvm-0001", "taskcompletion"), "NodesDisabled"),
    ],
)
def test_why_a_task_waits(batch, arrange, code):
    batch.task("first", "hang")
    batch.turn()
    arrange(batch)
    batch.turn()
    batch.task("t", "hang", requiredSlots=4)
    batch.turn()
    reasons = batch.service.explain("acct", "j", "t")
    assert code in [reason.code for reason in reasons], reasons
    assert all(reason.message and not reason.hopeless for reason in reasons)


def test_who_holds_the_slots_is_told(batch):
    batch.task("big", "hang", requiredSlots=4)
    batch.turn()
    batch.task("second", "hang")
    batch.task("third", "hang")
    batch.turn()
    reason = batch.service.explain("acct", "j", "third")[0]
    assert "j/big on tvm-0001" in reason.message
    assert "1 tasks wait before it" in reason.message
    assert reason.to_json()["passes"] is True


def test_why_a_task_never_starts(batch):
    batch.pool("empty", nodes=0)
    batch.pool("failing", startTask={"commandLine": "exit 7"})
    for pool, code in (("empty", "PoolHasNoNodes"), ("failing", "StartTaskFailed"), ("gone", "PoolNotFound")):
        batch.job(f"on-{pool}", pool)
        batch.task("t", job=f"on-{pool}")
        batch.turn()
        reason = next(each for each in batch.service.explain("acct", f"on-{pool}", "t") if each.hopeless)
        assert (reason.code, bool(reason.cure)) == (code, True)
    batch.task("wide", requiredSlots=5)
    batch.turn()
    assert [reason.code for reason in batch.service.explain("acct", "j", "wide")] == ["TaskRequiresTooManySlots"]


def test_nothing_to_explain_about_what_runs(batch):
    batch.task("t", "hang")
    batch.turn()
    assert batch.service.explain("acct", "j", "t") == []


def test_secrets_in_documents_are_sealed_on_disk(batch):
    batch.vault.put("key", "s3cr3t-value")
    batch.task("t", environmentSettings=[{"name": "KEY", "value": "s3cr3t-value"}])
    stored = batch.database.query("SELECT spec FROM batch_tasks")[0]["spec"]
    assert "s3cr3t-value" not in stored
    assert batch.wire_task("t")["environmentSettings"] == [{"name": "KEY", "value": "s3cr3t-value"}]


def test_limits_are_configuration(batch, monkeypatch):
    monkeypatch.setattr(limits, "TASKS_PER_REQUEST", 1)
    with pytest.raises(BatchError):
        batch.service.add_tasks("acct", "j", [{}, {}])


def test_what_is_missing_of_a_range_is_named(batch):
    batch.job("plain", usesTaskDependencies=True)
    for name in ("1", "02", "3"):
        batch.task(name, job="plain", command="exit 5" if name == "02" else "exit 0")
    batch.task("4", "hang", job="plain")
    batch.task("all", job="plain", dependsOn=needs(ranges=[(1, 20)]))
    batch.turn()
    reasons = [(each.code, each.message, each.hopeless) for each in batch.service.explain("acct", "plain", "all")]
    assert reasons == [
        ("DependencyBlocked", "The task depends on '02', which failed and blocks it.", True),
        ("DependencyWaiting", "The task depends on '4', which is running.", False),
        ("DependencyMissing", "The task depends on '5', which is not in the job.", False),
        ("DependencyMissing", "The task depends on '6', which is not in the job.", False),
        ("DependencyMissing", "The task depends on '7', which is not in the job.", False),
        ("DependencyWaiting", "The task waits for 13 more tasks of its taskIdRanges to succeed.", False),
    ]
