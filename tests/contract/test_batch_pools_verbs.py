"""Pools, their size and nodes; accounts; application packages; files of nodes."""

from __future__ import annotations

import io
import logging
import time
import zipfile

import pytest

from batch_kit import BASE, opened
from kyanite import limits
from kyanite.batch import wire
from kyanite.batch.conditions import Conditions
from kyanite.batch.specs import PoolSpec
from kyanite.batch.staging import StagingError
from kyanite.errors import BatchError, KyaniteError


@pytest.fixture
def batch(tmp_path):
    with opened(tmp_path) as made:
        yield made


def code_of(call, *arguments, **named):
    with pytest.raises(KyaniteError) as caught:
        call(*arguments, **named)
    return caught.value.error_code


def node_states(batch, pool="p"):
    return {node.id: str(node.state) for node in batch.service.nodes("acct", pool)}


# ---- documents


def test_a_pool_as_it_comes_back(batch):
    batch.pool(
        nodes="2",
        targetLowPriorityNodes=1,
        taskSlotsPerNode=4,
        taskSchedulingPolicy={"nodeFillType": "Pack"},
        metadata=[{"name": "a", "value": "1"}],
        userAccounts=[{"name": "u", "password": "pa55word!", "elevationLevel": "admin"}],
        startTask={"commandLine": "exit 0", "waitForSuccess": True},
        networkConfiguration={"subnetId": "x"},
        somethingNew=1,
    )
    body = batch.wire_pool()
    assert (body["url"], body["state"], body["allocationState"]) == (f"{BASE}/pools/p", "active", "steady")
    assert (body["targetDedicatedNodes"], body["targetLowPriorityNodes"]) == (2, 1)
    assert (body["currentDedicatedNodes"], body["currentLowPriorityNodes"]) == (2, 1)
    assert (body["taskSlotsPerNode"], body["taskSchedulingPolicy"]) == (4, {"nodeFillType": "pack"})
    assert (body["resizeTimeout"], body["enableAutoScale"]) == ("PT15M", False)
    assert body["userAccounts"] == [{"name": "u", "elevationLevel": "admin"}]
    assert (body["somethingNew"], body["networkConfiguration"]) == (1, {"subnetId": "x"})
    assert body["startTask"] == {"commandLine": "exit 0", "waitForSuccess": True, "maxTaskRetryCount": 0}
    assert not {"resizeErrors", "stats", "autoScaleRun", "autoScaleFormula"} & set(body)
    assert "pa55word" not in str(batch.database.query("SELECT spec FROM batch_pools")[0]["spec"])
    assert batch.vault.mask("the pa55word!") == "the ***"


def test_a_pool_made_in_python_has_a_document_too(batch):
    batch.service.create_pool("acct", PoolSpec("q", target_nodes=1, slots_per_node=2))
    body = batch.wire_pool("q")
    assert (body["targetDedicatedNodes"], body["taskSlotsPerNode"], body["vmSize"]) == (1, 2, "local")
    batch.service.patch_pool("acct", "q", {"metadata": [{"name": "a", "value": "b"}]})
    assert batch.wire_pool("q")["metadata"] == [{"name": "a", "value": "b"}]
    assert batch.wire_pool("q")["taskSlotsPerNode"] == 2


def test_ids_of_pools(batch):
    batch.pool("Pool")
    assert code_of(batch.pool, "POOL") == "PoolExists"
    assert batch.service.get_pool("acct", "pool").id == "Pool"
    assert code_of(batch.service.get_pool, "acct", "other") == "PoolNotFound"
    assert [pool.id for pool in batch.service.list_pools("acct", after="pol")] == ["Pool"]
    assert list(batch.service.list_pools("acct", after="pool")) == []


def test_the_quota_of_pools(batch, monkeypatch):
    monkeypatch.setattr(limits, "POOLS_PER_ACCOUNT", 1)
    batch.pool()
    assert code_of(batch.pool, "q") == "PoolQuotaReached"


def test_patching(batch):
    batch.pool(startTask={"commandLine": "exit 0"}, metadata=[{"name": "a", "value": "1"}])
    before = batch.wire_pool()
    batch.clock.move(seconds=1)
    batch.service.patch_pool("acct", "p", {"startTask": {"commandLine": "exit 1"}, "displayName": None})
    after = batch.wire_pool()
    assert (after["startTask"]["commandLine"], after["metadata"]) == ("exit 1", before["metadata"])
    assert after["eTag"] != before["eTag"]
    assert code_of(batch.service.patch_pool, "acct", "p", {"targetDedicatedNodes": 3}) == "PropertyNotUpdatable"
    assert code_of(batch.service.patch_pool, "acct", "p", {"vmSize": "x"}) == "PoolNotEligibleForOperation"
    stale = Conditions(if_match=before["eTag"])
    assert code_of(batch.service.patch_pool, "acct", "p", {}, conditions=stale) == "ConditionNotMet"
    batch.service.update_pool("acct", "p", {"applicationPackageReferences": []})
    assert not {"startTask", "metadata"} & set(batch.wire_pool())


def test_what_can_change_while_a_pool_has_no_nodes(batch):
    batch.pool(nodes=0)
    batch.service.patch_pool("acct", "p", {"vmSize": "large", "taskSlotsPerNode": 8})
    assert (batch.wire_pool()["vmSize"], batch.wire_pool()["taskSlotsPerNode"]) == ("large", 8)
    batch.service.patch_pool("acct", "p", {"userAccounts": [{"name": "u", "password": "pa55word!"}]})
    assert "pa55word" not in str(batch.database.query("SELECT spec FROM batch_pools")[0]["spec"])


def test_a_changed_start_task_runs_before_the_next_task(batch):
    batch.pool(startTask={"commandLine": "exit 0"})
    batch.job()
    batch.task("a")
    batch.turn()
    batch.service.patch_pool("acct", "p", {"startTask": {"commandLine": "exit 0", "maxTaskRetryCount": 1}})
    batch.task("b")
    batch.turn()
    assert batch.nodes.order == ["start", "a", "start", "b"]


# ---- size


def test_growing_and_shrinking(batch):
    batch.pool()
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": "3"})
    assert list(node_states(batch)) == ["tvm-0001", "tvm-0002", "tvm-0003"]
    assert batch.wire_pool()["allocationState"] == "steady"
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 1, "targetLowPriorityNodes": 1})
    batch.turn()
    assert [node.dedicated for node in batch.service.nodes("acct", "p")] == [True, False]
    assert (batch.wire_pool()["currentDedicatedNodes"], batch.wire_pool()["currentLowPriorityNodes"]) == (1, 1)
    assert batch.wire_pool()["allocationState"] == "steady"
    assert len(set(node_states(batch))) == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MissingRequiredProperty"),
        ({"targetDedicatedNodes": -1}, "InvalidPropertyValue"),
        ({"targetDedicatedNodes": 1, "resizeTimeout": "PT1M"}, "InvalidPropertyValue"),
        ({"targetDedicatedNodes": 1, "nodeDeallocationOption": "explode"}, "InvalidPropertyValue"),
    ],
)
def test_resizes_that_cannot_be(batch, body, code):
    batch.pool()
    assert code_of(batch.service.resize_pool, "acct", "p", body) == code


def busy(batch, nodes=2):
    batch.pool(nodes=nodes)
    batch.job()
    batch.service.prepare_pool("acct", "p")
    for number in range(nodes):
        batch.task(f"t{number}", "hang")
    batch.turn()
    assert set(batch.states().values()) == {"running"}


@pytest.mark.parametrize(("option", "state", "requeues"), [("requeue", "active", 1), ("terminate", "completed", 0)])
def test_shrinking_ends_tasks_as_asked(batch, option, state, requeues):
    busy(batch)
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 1, "nodeDeallocationOption": option})
    batch.turn()
    assert (batch.states(), list(node_states(batch))) == ({"t0": "running", "t1": state}, ["tvm-0001"])
    assert batch.service.get_task("acct", "j", "t1").requeue_count == requeues
    assert batch.wire_pool()["allocationState"] == "steady"


def test_shrinking_can_wait_for_tasks(batch):
    busy(batch)
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 1, "nodeDeallocationOption": "TaskCompletion"})
    batch.turn()
    assert (batch.wire_pool()["allocationState"], node_states(batch)["tvm-0002"]) == ("resizing", "leavingpool")
    assert code_of(batch.service.resize_pool, "acct", "p", {"targetDedicatedNodes": 5}) == "PoolBeingResized"
    batch.task("more")
    batch.turn()
    assert batch.state("more") == "active"
    batch.nodes.finish("t1")
    batch.turn()
    assert (batch.wire_pool()["allocationState"], list(node_states(batch))) == ("steady", ["tvm-0001"])


def test_a_resize_that_takes_too_long_gives_up_with_the_reason(batch):
    busy(batch)
    body = {"targetDedicatedNodes": 1, "nodeDeallocationOption": "taskcompletion", "resizeTimeout": "PT5M"}
    batch.service.resize_pool("acct", "p", body)
    batch.clock.move(minutes=5)
    batch.turn()
    shown = batch.wire_pool()
    assert (shown["allocationState"], shown["currentDedicatedNodes"]) == ("steady", 2)
    assert shown["resizeErrors"][0]["code"] == "AllocationTimedOut"
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 2})
    assert "resizeErrors" not in batch.wire_pool()


def test_stopping_a_resize_keeps_the_nodes(batch):
    busy(batch)
    assert code_of(batch.service.stop_resize, "acct", "p") == "OperationInvalidForCurrentState"
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 0, "nodeDeallocationOption": "taskcompletion"})
    batch.service.stop_resize("acct", "p")
    shown = batch.wire_pool()
    assert (shown["allocationState"], shown["targetDedicatedNodes"]) == ("steady", 0)
    assert [error["code"] for error in shown["resizeErrors"]] == ["ResizeStopped"]
    batch.turn()
    assert set(node_states(batch).values()) == {"running"}


def test_more_than_the_quota_gives_what_it_allows(batch, monkeypatch):
    monkeypatch.setattr(limits, "NODES_PER_POOL", 2)
    batch.pool(nodes=3)
    shown = batch.wire_pool()
    assert (shown["currentDedicatedNodes"], shown["targetDedicatedNodes"]) == (2, 3)
    assert [error["code"] for error in shown["resizeErrors"]] == ["AccountCoreQuotaReached"]


def test_removing_nodes_lowers_the_target(batch):
    busy(batch, nodes=3)
    batch.service.remove_nodes("acct", "p", {"nodeList": ["TVM-0002"]})
    batch.turn()
    assert list(node_states(batch)) == ["tvm-0001", "tvm-0003"]
    assert batch.wire_pool()["targetDedicatedNodes"] == 2
    assert batch.service.get_task("acct", "j", "t1").requeue_count == 1
    assert code_of(batch.service.remove_nodes, "acct", "p", {"nodeList": ["x"]}) == "NodeNotFound"
    assert code_of(batch.service.remove_nodes, "acct", "p", {"nodeList": []}) == "MissingRequiredProperty"
    assert code_of(batch.service.remove_nodes, "acct", "p", {"nodeList": ["x"] * 101}) == "InvalidPropertyValue"


def test_deleting_a_pool_puts_its_tasks_back(batch):
    busy(batch)
    batch.service.delete_pool("acct", "p")
    for call in (
        lambda: batch.service.patch_pool("acct", "p", {}),
        lambda: batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 1}),
        lambda: batch.service.delete_pool("acct", "p"),
        lambda: batch.pool(),
        lambda: batch.service.reboot_node("acct", "p", "tvm-0001"),
    ):
        assert code_of(call) == "PoolBeingDeleted"
    batch.turn()
    assert code_of(batch.service.get_pool, "acct", "p") == "PoolNotFound"
    assert (batch.states(), batch.nodes.deleted_pools) == ({"t0": "active", "t1": "active"}, ["p"])
    batch.pool()
    batch.turn()
    assert "running" in batch.states().values()


def test_a_pool_that_is_being_deleted_waits_for_its_tasks_to_end(batch):
    batch.pool(nodes=0)
    batch.service.delete_pool("acct", "p")
    batch.turn()
    assert batch.service.pools("acct") == []


# ---- autoscale


FORMULA = "$TargetDedicatedNodes = 2;"


def test_a_pool_with_a_formula(batch):
    batch.service.add_pool(
        "acct", {"id": "p", "vmSize": "x", "enableAutoScale": True, "autoScaleFormula": FORMULA, "taskSlotsPerNode": 2}
    )
    batch.turn()
    shown = wire.pool_json(batch.service.get_pool("acct", "p"), BASE, batch.service.autoscale_run("acct", "p"))
    assert (shown["enableAutoScale"], shown["autoScaleFormula"]) == (True, FORMULA)
    assert (shown["autoScaleEvaluationInterval"], "resizeTimeout" in shown) == ("PT15M", False)
    assert (shown["targetDedicatedNodes"], shown["currentDedicatedNodes"]) == (2, 2)
    assert "$TargetDedicatedNodes=2" in shown["autoScaleRun"]["results"]
    for call in (
        lambda: batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 1}),
        lambda: batch.service.remove_nodes("acct", "p", {"nodeList": ["tvm-0001"]}),
    ):
        assert code_of(call) == "PoolNotEligibleForOperation"


def test_enabling_and_disabling(batch):
    batch.pool()
    assert code_of(batch.service.enable_autoscale, "acct", "p", {}) == "MissingRequiredProperty"
    wrong = {"autoScaleFormula": "1 +"}
    assert code_of(batch.service.enable_autoscale, "acct", "p", wrong) == "AutoScalingFormulaSyntaxError"
    wrong = {"autoScaleFormula": FORMULA, "autoScaleEvaluationInterval": "PT1M"}
    assert code_of(batch.service.enable_autoscale, "acct", "p", wrong) == "InvalidPropertyValue"
    assert code_of(batch.service.evaluate_autoscale, "acct", "p", {"autoScaleFormula": FORMULA}) == (
        "PoolNotEligibleForOperation"
    )
    batch.service.enable_autoscale("acct", "p", {"autoScaleFormula": FORMULA})
    again = {"autoScaleEvaluationInterval": "PT10M"}
    assert code_of(batch.service.enable_autoscale, "acct", "p", again) == "AutoScaleTooManyRequestsToEnable"
    batch.clock.move(seconds=31)
    batch.service.enable_autoscale("acct", "p", again)
    batch.turn()
    assert batch.wire_pool()["autoScaleEvaluationInterval"] == "PT10M"
    assert batch.wire_pool()["currentDedicatedNodes"] == 2
    run = batch.service.evaluate_autoscale("acct", "p", {"autoScaleFormula": "$TargetDedicatedNodes = 7;"})
    assert "$TargetDedicatedNodes=7" in run["results"]
    batch.service.disable_autoscale("acct", "p")
    shown = batch.wire_pool()
    assert (shown["enableAutoScale"], shown["targetDedicatedNodes"], shown["resizeTimeout"]) == (False, 2, "PT15M")
    batch.service.resize_pool("acct", "p", {"targetDedicatedNodes": 1})
    batch.turn()
    assert batch.wire_pool()["currentDedicatedNodes"] == 1


# ---- nodes


def test_a_node_as_it_comes_back(batch):
    busy(batch, nodes=1)
    recent = [wire.recent_task_json(row, BASE) for row in batch.service.recent_tasks("acct", "p", "tvm-0001")]
    body = wire.node_json(batch.service.get_node("acct", "p", "TVM-0001"), BASE, recent)
    assert (body["id"], body["state"], body["schedulingState"]) == ("tvm-0001", "running", "enabled")
    assert (body["isDedicated"], body["affinityId"]) == (True, "TVM:tvm-0001")
    assert (body["runningTasksCount"], body["runningTaskSlotsCount"], body["totalTasksRun"]) == (1, 1, 1)
    assert body["recentTasks"] == [
        {"taskUrl": f"{BASE}/jobs/j/tasks/t0", "jobId": "j", "taskId": "t0", "taskState": "running"}
    ]
    batch.nodes.finish("t0")
    batch.turn()
    body = wire.node_json(batch.service.get_node("acct", "p", "tvm-0001"), BASE)
    assert (body["state"], body["totalTasksRun"], body["totalTasksSucceeded"]) == ("idle", 1, 1)
    assert code_of(batch.service.get_node, "acct", "p", "x") == "NodeNotFound"
    assert list(batch.service.list_nodes("acct", "p", after="tvm-0001")) == []


def test_scheduling_is_switched_off_and_on(batch):
    busy(batch, nodes=1)
    batch.service.disable_scheduling("acct", "p", "tvm-0001", "taskcompletion")
    assert code_of(batch.service.disable_scheduling, "acct", "p", "tvm-0001") == "NodeAlreadyInTargetSchedulingState"
    batch.turn()
    assert node_states(batch) == {"tvm-0001": "running"}
    batch.nodes.finish("t0")
    batch.task("next")
    batch.turn()
    assert (node_states(batch), batch.state("next")) == ({"tvm-0001": "offline"}, "active")
    counts = batch.service.node_counts("acct")[0]
    assert (counts["dedicated"]["offline"], counts["dedicated"]["total"]) == (1, 1)
    batch.service.enable_scheduling("acct", "p", "tvm-0001")
    assert code_of(batch.service.enable_scheduling, "acct", "p", "tvm-0001") == "NodeAlreadyInTargetSchedulingState"
    batch.turn()
    assert batch.state("next") == "completed"


def test_node_counts(batch):
    busy(batch, nodes=2)
    batch.pool("q", nodes=0, targetLowPriorityNodes=1)
    counts = {item["poolId"]: item for item in batch.service.node_counts("acct")}
    assert (counts["p"]["dedicated"]["running"], counts["p"]["dedicated"]["total"]) == (2, 2)
    assert (counts["q"]["lowPriority"]["creating"], counts["q"]["lowPriority"]["total"]) == (1, 1)
    assert set(counts["p"]["dedicated"]) == set(counts["q"]["lowPriority"])
    assert "waitingForStartTask" in counts["p"]["dedicated"]
    assert [item["poolId"] for item in batch.service.node_counts("acct", "q")] == ["q"]


def test_files_of_nodes(batch):
    busy(batch, nodes=1)
    root = batch.nodes.root / "acct/p/nodes/tvm-0001"
    assert code_of(batch.service.list_node_files, "acct", "p", "tvm-0001") == "NodeNotReady"
    for name in ("startup/stdout.txt", "workitems/j/job-1/t0/wd/out.txt", "volatile/attempts/1/spec.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("hello")
    (root / "link").symlink_to("/etc")
    names = [wire.file_json(entry, f"{BASE}/f") for entry in batch.service.list_node_files("acct", "p", "tvm-0001")]
    assert [item["name"] for item in names] == ["startup", "workitems"]
    with batch.service.node_file("acct", "p", "tvm-0001", "startup/stdout.txt") as file:
        assert (file.size, file.read(1, 3)) == (5, b"ell")
    found = batch.service.list_task_files("acct", "j", "t0", recursive=True)
    shown = wire.file_json(found[-1], f"{BASE}/jobs/j/tasks/t0/files")
    assert (shown["name"], shown["isDirectory"]) == ("wd/out.txt", False)
    assert shown["url"] == f"{BASE}/jobs/j/tasks/t0/files/wd%2Fout.txt"
    assert shown["properties"]["contentLength"] == "5"
    for path in ("volatile/attempts/1/spec.json", "volatile", "link/passwd", "none"):
        assert code_of(batch.service.node_file, "acct", "p", "tvm-0001", path) == "FileNotFound", path
    for path in ("../x", "/etc/passwd", "a//b", "a/../../b", ""):
        assert code_of(batch.service.node_file, "acct", "p", "tvm-0001", path) == "InvalidUri", path
        assert code_of(batch.service.delete_node_file, "acct", "p", "tvm-0001", path) == "InvalidUri", path
    assert code_of(batch.service.delete_node_file, "acct", "p", "tvm-0001", "volatile", True) == "FileNotFound"
    batch.service.delete_task_file("acct", "j", "t0", "wd/out.txt")
    assert not (root / "workitems/j/job-1/t0/wd/out.txt").exists()


# ---- applications


def archive():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as package:
        package.writestr("tool.sh", "echo tool")
    out.seek(0)
    return out


def test_applications_and_packages(batch):
    service = batch.service
    assert service.add_application("acct", "Tool", {"displayName": "The tool"})["allowUpdates"] is True
    assert code_of(service.add_package, "acct", "none", "1.0") == "ApplicationNotFound"
    assert code_of(service.add_package, "acct", "tool", "../1") == "InvalidPropertyValue"
    assert service.add_package("acct", "tool", "1.0").state == "pending"
    assert code_of(service.activate_package, "acct", "tool", "1.0") == "InvalidPropertyValue"
    assert code_of(service.activate_package, "acct", "tool", "1.0", io.BytesIO(b"no zip")) == "InvalidPropertyValue"
    active = service.activate_package("acct", "tool", "1.0", archive())
    assert (active.state, active.format, active.size > 0) == ("active", "zip", True)
    assert code_of(service.get_package, "acct", "tool", "2.0") == "ResourceNotFound"
    shown = service.get_application("acct", "TOOL")
    assert (shown["id"], shown["displayName"], shown["versions"]) == ("Tool", "The tool", ["1.0"])
    assert code_of(service.update_application, "acct", "tool", {"defaultVersion": "9"}) == "InvalidPropertyValue"
    service.update_application("acct", "tool", {"defaultVersion": "1.0"})
    assert service.application_settings("acct", "tool")["displayName"] == "The tool"
    assert code_of(service.delete_package, "acct", "tool", "1.0") == "OperationInvalidForCurrentState"
    assert code_of(service.delete_application, "acct", "tool") == "OperationInvalidForCurrentState"
    service.add_application("acct", "tool", {})
    service.delete_package("acct", "tool", "1.0")
    assert not active.file.exists()
    service.delete_application("acct", "tool")
    assert service.list_applications("acct") == []


def test_references_to_packages(batch):
    service = batch.service
    reference = [{"applicationId": "tool"}]
    assert code_of(batch.pool, applicationPackageReferences=reference) == "InvalidApplicationPackageReferences"
    service.add_application("acct", "tool")
    service.add_package("acct", "tool", "1.0")
    service.activate_package("acct", "tool", "1.0", archive())
    assert code_of(batch.pool, applicationPackageReferences=reference) == "InvalidApplicationPackageReferences"
    service.update_application("acct", "tool", {"defaultVersion": "1.0"})
    batch.pool(applicationPackageReferences=reference)
    batch.job()
    batch.task("t", applicationPackageReferences=[{"applicationId": "tool", "version": "1.0"}])
    batch.turn()
    launch = next(item for item in batch.nodes.launched.values() if item.task_id == "t")
    assert [variable for variable, _ in launch.packages] == [
        "AZ_BATCH_APP_PACKAGE_tool",
        "AZ_BATCH_APP_PACKAGE_tool_1_0",
    ]
    assert all(file.is_file() for _, file in launch.packages)
    commands = {name: {"commandLine": "exit 0"} for name in ("jobPreparationTask", "jobReleaseTask")}
    batch.job("prepared", **commands)
    batch.task("u", job="prepared")
    batch.turn()
    service.terminate_job("acct", "prepared")
    batch.turn()
    for kind in ("prep", "release"):
        (launch,) = [item for item in batch.nodes.launched.values() if item.kind == kind]
        assert [variable for variable, _ in launch.packages] == ["AZ_BATCH_APP_PACKAGE_tool"]
    service.update_application("acct", "tool", {})
    batch.task("gone", applicationPackageReferences=reference)
    batch.database.execute("UPDATE batch_packages SET state = 'pending'")
    batch.turn()
    failure = batch.wire_task("gone")["executionInfo"]["failureInfo"]
    assert failure["code"] == "ApplicationPackageError"
    assert isinstance(StagingError, type)


# ---- accounts


def test_keys_are_replaced_one_by_one(batch):
    before = batch.service.keys("acct")
    after = batch.service.regenerate_key("acct", "Primary")
    assert (after["primary"] != before["primary"], after["secondary"]) == (True, before["secondary"])
    assert code_of(batch.service.regenerate_key, "acct", "third") == "InvalidPropertyValue"


def test_an_account_goes_when_it_is_empty(batch):
    batch.pool(nodes=0)
    assert code_of(batch.service.delete_account, "acct") == "OperationInvalidForCurrentState"
    batch.service.delete_pool("acct", "p")
    batch.turn()
    batch.service.delete_account("acct")
    assert code_of(batch.service.account, "acct") == "AccountNotFound"
    assert code_of(batch.service.add_job, "acct", {}) == "AccountNotFound"


def test_quotas_and_usage(batch):
    assert set(batch.service.quotas("acct")) == {
        "dedicatedCoreQuota",
        "lowPriorityCoreQuota",
        "poolQuota",
        "activeJobAndJobScheduleQuota",
    }
    assert batch.service.usage("acct") == []
    assert all(image["nodeAgentSKUId"] for image in batch.service.supported_images("acct"))


def test_a_corrected_start_task_reaches_a_failed_node_by_a_reboot(batch):
    batch.pool("failing", startTask={"commandLine": "exit 4", "maxTaskRetryCount": 0})
    with pytest.raises(BatchError, match="exit code 4"):
        batch.service.prepare_pool("acct", "failing")
    states = lambda: [str(node.state) for node in batch.service.nodes("acct", "failing")]  # noqa: E731
    assert states() == ["starttaskfailed"]
    batch.service.patch_pool("acct", "failing", {"startTask": {"commandLine": "exit 0"}})
    batch.service.reboot_node("acct", "failing", "tvm-0001")
    batch.service.prepare_pool("acct", "failing")
    assert states() == ["idle"]


def test_the_background_thread_survives_any_error_and_says_it_once(batch, monkeypatch, caplog):
    monkeypatch.setattr(limits, "TASK_POLL_SECONDS", 0.01)
    batch.pool()
    batch.job()
    scheduler, turns = batch.service._scheduler, []
    whole = scheduler._take_turn

    def failing(also):
        turns.append(also)
        if len(turns) < 5:
            raise KeyError("odd")
        return whole(also)

    monkeypatch.setattr(scheduler, "_take_turn", failing)
    with caplog.at_level(logging.WARNING, logger="kyanite.batch"):
        batch.service.run_in_background()
        batch.task("a")
        deadline = time.monotonic() + 20
        while str(batch.service.get_task("acct", "j", "a").state) != "completed" and time.monotonic() < deadline:
            time.sleep(0.01)
    assert str(batch.service.get_task("acct", "j", "a").state) == "completed"
    assert [record.getMessage() for record in caplog.records] == ["batch: tried again after an error: 'odd'"]
    batch.service.pump()
