"""Any verbs in any order: nothing is lost, nothing hangs, no state that must not be."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_kit import opened
from kyanite.batch.model import task_problems
from kyanite.errors import BatchError

COMMANDS = ("exit 0", "exit 1", "exit 1 then 0", "hang")
OPTIONS = ("requeue", "terminate", "taskcompletion")

VERBS = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(COMMANDS),
        st.integers(0, 1),
        st.integers(1, 2),
        st.lists(st.integers(0, 5), max_size=2),
    ),
    st.tuples(st.just("finish"), st.integers(0, 20)),
    st.tuples(st.just("disable"), st.sampled_from(("requeue", "terminate", "wait"))),
    st.tuples(st.just("enable")),
    st.tuples(st.just("end")),
    st.tuples(st.just("delete")),
    st.tuples(st.just("terminate"), st.integers(0, 5)),
    st.tuples(st.just("remove"), st.integers(0, 5)),
    st.tuples(st.just("reactivate"), st.integers(0, 5)),
    st.tuples(st.just("reboot"), st.integers(1, 3), st.sampled_from(OPTIONS)),
    st.tuples(st.just("switch"), st.integers(1, 3), st.sampled_from(OPTIONS)),
    st.tuples(st.just("resize"), st.integers(0, 3), st.sampled_from(OPTIONS)),
    st.tuples(st.just("drop"), st.integers(1, 3)),
    st.tuples(st.just("later"), st.integers(1, 30)),
    st.tuples(st.just("turn")),
)


def act(batch, verb, *details):
    service = batch.service
    match verb:
        case "add":
            command, retries, slots, needs = details
            name = str(len(batch.states()) % 6)
            more = {"dependsOn": {"taskIds": [str(each) for each in needs]}} if needs else {}
            constraints = {"maxTaskRetryCount": retries}
            batch.task(name, command, requiredSlots=slots, constraints=constraints, **more)
        case "finish":
            running = sorted(batch.nodes.running())
            if running:
                batch.nodes.finish(running[details[0] % len(running)], details[0] % 2)
        case "disable":
            service.disable_job("acct", "j", {"disableTasks": details[0]})
        case "enable":
            service.enable_job("acct", "j")
        case "end":
            service.terminate_job("acct", "j")
        case "delete":
            service.delete_job("acct", "j")
        case "terminate" | "remove" | "reactivate":
            name = {"remove": "delete"}.get(verb, verb)
            getattr(service, f"{name}_task")("acct", "j", str(details[0]))
        case "reboot":
            service.reboot_node("acct", "p", f"tvm-000{details[0]}", details[1])
        case "switch":
            node = service.get_node("acct", "p", f"tvm-000{details[0]}")
            if node.scheduling:
                service.disable_scheduling("acct", "p", node.id, details[1])
            else:
                service.enable_scheduling("acct", "p", node.id)
        case "resize":
            body = {"targetDedicatedNodes": details[0], "nodeDeallocationOption": details[1]}
            service.resize_pool("acct", "p", body)
        case "drop":
            service.remove_nodes("acct", "p", {"nodeList": [f"tvm-000{details[0]}"]})
        case "later":
            batch.clock.move(minutes=details[0])
        case _:
            batch.turn()


def check(batch):
    store = batch.service._store
    for node in batch.service.nodes("acct", "p") if batch.service.pools("acct") else ():
        assert 0 <= node.used_slots <= node.total_slots
    open_attempts = {attempt.task for attempt in store.open_attempts() if attempt.kind == "task"}
    rows = batch.database.query("SELECT sequence, state, unmet FROM batch_tasks")
    held = {row["sequence"] for row in rows if row["state"] in ("running", "preparing")}
    assert held == open_attempts
    assert all(row["unmet"] >= 0 for row in rows)
    for job in batch.service.jobs("acct"):
        for task in batch.service.tasks("acct", job.id):
            assert task_problems(task) == []


def comes_to_an_end(batch):
    """Whatever hangs is finished: then no state is one that only passes, and what can run has run."""
    for _ in range(300):
        batch.turn()
        running = batch.nodes.running()
        if not running:
            break
        for name in sorted(running):
            batch.nodes.finish(name)
    else:
        raise AssertionError("something runs for ever")
    check(batch)
    pool = batch.service.get_pool("acct", "p")
    assert (str(pool.state), str(pool.allocation)) == ("active", "steady")
    assert pool.current_dedicated == pool.spec.target_nodes or pool.resize_errors
    for job in batch.service.jobs("acct"):
        assert str(job.state) in ("active", "disabled", "completed")
        tasks = {task.id: task for task in batch.service.tasks("acct", job.id)}
        for task in tasks.values():
            assert str(task.state) in ("active", "completed")
            if str(task.state) == "active":
                reasons = [reason.code for reason in batch.service.explain("acct", job.id, task.id)]
                needs = [tasks.get(name) for name in task.spec.document.get("dependsOn", {}).get("taskIds", ())]
                blocked = any(reason.startswith("Dependency") for reason in reasons)
                failed = [needed for needed in needs if needed is not None and needed.result != "success"]
                assert blocked == bool(failed) or None in needs  # what was removed may have been done
                assert "Scheduling" not in reasons
                assert blocked or str(job.state) != "active" or {"PoolHasNoNodes", "NodesDisabled"} & set(reasons)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(VERBS, st.booleans()), max_size=20), st.booleans(), st.booleans())
def test_any_sequence_of_verbs(tmp_path_factory, verbs, prepares, manages):
    with opened(tmp_path_factory.mktemp("any")) as batch:
        batch.pool(nodes=2, taskSlotsPerNode=2)
        body = {"usesTaskDependencies": True, "constraints": {"maxWallClockTime": "PT2H"}}
        if prepares:
            body |= {"jobPreparationTask": {"commandLine": "exit 0"}, "jobReleaseTask": {"commandLine": "exit 1"}}
        if manages:
            body["jobManagerTask"] = {"id": "boss", "commandLine": "hang"}
        batch.job(**body)
        for number, command in enumerate(("hang", "exit 0", "hang")):
            batch.task(str(number), command)
        batch.task("3", dependsOn={"taskIds": ["0", "1"]})
        batch.turn()
        for verb, turn in verbs:
            try:
                act(batch, *verb)
            except BatchError as error:
                assert error.error_code
            if turn:
                batch.turn()
            check(batch)
        comes_to_an_end(batch)
