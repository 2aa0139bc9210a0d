"""azure-batch 15.1, unmodified: a pool, a job, a hundred tasks with dependencies and files; every operation once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from azure.batch import BatchClient
from azure.batch import models as m
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from batch_server import ACCOUNT, BatchServer, batch_server, wait_until
from kyanite.server.batch.operations import OPERATIONS

IMAGE = m.VirtualMachineConfiguration(
    image_reference=m.BatchVmImageReference(publisher="canonical", offer="ubuntu", sku="22_04-lts"),
    node_agent_sku_id="batch.node.ubuntu 22.04",
)
SOON = 0.05  # seconds between a poller's looks


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchServer]:
    with batch_server(tmp_path_factory.mktemp("sdk") / "home") as made:
        yield made


@pytest.fixture(scope="module")
def client(server: BatchServer) -> Iterator[BatchClient]:
    with BatchClient(server.url, AzureNamedKeyCredential(ACCOUNT, server.key), retry_total=0) as made:
        yield made


def new_pool(client: BatchClient, pool_id: str, nodes: int = 1, **more) -> None:
    client.create_pool(
        m.BatchPoolCreateOptions(
            id=pool_id,
            vm_size="standard_d2s_v3",
            virtual_machine_configuration=IMAGE,
            target_dedicated_nodes=nodes,
            **more,
        )
    )


def test_a_hundred_tasks_with_dependencies_and_files(server, client):
    new_pool(client, "work", 2, task_slots_per_node=2)
    options = m.BatchJobCreateOptions(
        id="work", pool_info=m.BatchPoolInfo(pool_id="work"), uses_task_dependencies=True, priority=10
    )
    client.create_job(options)
    words = m.ResourceFile(http_url=f"{server.storage_url}/input/data/words.txt", file_path="in/words.txt")
    output = m.OutputFile(
        file_pattern="*.out",
        destination=m.OutputFileDestination(
            container=m.OutputFileBlobContainerDestination(container_url=f"{server.storage_url}/output", path="results")
        ),
        upload_options=m.OutputFileUploadConfiguration(upload_condition=m.OutputFileUploadCondition.TASK_SUCCESS),
    )
    tasks = []
    for number in range(1, 101):
        command = (
            f"/bin/sh -c 'wc -w < in/words.txt; echo task {number}'"
            if number > 1
            else ('/bin/sh -c \'cat in/words.txt > first.out; mkdir "a dir"; seq 1000 > "a dir/numbers.txt"\'')
        )
        depends = None
        if number == 100:
            depends = m.BatchTaskDependencies(task_id_ranges=[m.BatchTaskIdRange(start=2, end=99)])
        elif number > 1:
            depends = m.BatchTaskDependencies(task_ids=["1"])
        tasks.append(
            m.BatchTaskCreateOptions(
                id=str(number),
                command_line=command,
                resource_files=[words],
                output_files=[output] if number == 1 else None,
                depends_on=depends,
            )
        )
    results = client.create_tasks("work", tasks).result_values
    assert sorted(int(each.task_id) for each in results) == list(range(1, 101))
    assert {each.status for each in results} == {"Success"}

    wait_until(lambda: client.get_job_task_counts("work").task_counts.completed == 100)
    counts = client.get_job_task_counts("work").task_counts
    assert (counts.succeeded, counts.failed, counts.active) == (100, 0, 0)
    last = client.get_task("work", "100")
    ended = [client.get_task("work", str(number)).execution_info.end_time for number in (2, 99)]
    assert last.execution_info.start_time >= max(ended)
    assert b"".join(client.download_task_file("work", "100", "stdout.txt")) == b"3\ntask 100\n"

    # files by range, and with a name that needs encoding
    name = "wd/a dir/numbers.txt"
    whole = b"".join(client.download_task_file("work", "1", name))
    assert whole == b"".join(b"%d\n" % number for number in range(1, 1001))
    assert b"".join(client.download_task_file("work", "1", name, ocp_range="bytes=10-19")) == whole[10:20]
    properties = client.get_task_file_properties("work", "1", name)
    assert (properties.content_length, properties.is_directory) == (len(whole), False)
    names = {each.name for each in client.list_task_files("work", "1", recursive=True)}
    assert {"stdout.txt", "stderr.txt", "wd", name, "wd/first.out"} <= names
    flat = {each.name for each in client.list_task_files("work", "1")}
    assert "wd" in flat and name not in flat
    blob = server.workspace.accounts.get("mystore").open_read("output", "results/first.out")
    with blob:
        assert blob.read() == b"one two three\n"

    # lists: pages, filters, selected properties
    pages = list(client.list_tasks("work", max_results=30).by_page())
    assert [len(list(page)) for page in pages] == [30, 30, 30, 10]
    some = list(client.list_tasks("work", filter="id eq '7' or startswith(id,'10')", select=["id", "state"]))
    assert sorted(each.id for each in some) == ["10", "100", "7"]
    assert {each.command_line for each in some} == {None}
    assert list(client.list_tasks("work", filter="executionInfo/exitCode ne 0")) == []

    # without options the client itself fails, before it asks
    client.begin_terminate_job("work", options={"terminateReason": "enough"}, polling_interval=SOON).result()
    assert client.get_job("work").state == "completed"
    client.begin_delete_job("work", polling_interval=SOON).result()
    with pytest.raises(ResourceNotFoundError) as caught:
        client.get_job("work")
    assert caught.value.error.code == "JobNotFound"
    client.begin_delete_pool("work", polling_interval=SOON).result()
    assert [each.id for each in client.list_pools(filter="id eq 'work'")] == []


def test_versions_of_objects_are_checked(client):
    client.create_job(m.BatchJobCreateOptions(id="versions", pool_info=m.BatchPoolInfo(pool_id="none")))
    job = client.get_job("versions")
    client.update_job(
        "versions", m.BatchJobUpdateOptions(priority=5), etag=job.etag, match_condition=MatchConditions.IfNotModified
    )
    changed = client.get_job("versions")
    assert (changed.priority, changed.etag == job.etag) == (5, False)
    with pytest.raises(ResourceModifiedError):
        client.update_job(
            "versions",
            m.BatchJobUpdateOptions(priority=6),
            etag=job.etag,
            match_condition=MatchConditions.IfNotModified,
        )
    with pytest.raises(HttpResponseError) as caught:
        client.get_job("versions", if_modified_since=changed.last_modified + datetime.timedelta(seconds=2))
    assert caught.value.status_code == 304
    client.begin_delete_job("versions", polling_interval=SOON).result()


def test_what_exists_already_is_told_by_its_code(client):
    new_pool(client, "twice", 0)
    with pytest.raises(ResourceExistsError) as caught:
        new_pool(client, "TWICE", 0)
    assert caught.value.error.code == "PoolExists"
    job = m.BatchJobCreateOptions(id="twice", pool_info=m.BatchPoolInfo(pool_id="twice"))
    client.create_job(job)
    with pytest.raises(ResourceExistsError) as caught:
        client.create_job(job)
    assert caught.value.error.code == "JobExists"
    task = m.BatchTaskCreateOptions(id="t", command_line="true")
    client.create_task("twice", task)
    with pytest.raises(ResourceExistsError) as caught:
        client.create_task("twice", task)
    assert caught.value.error.code == "TaskExists"
    assert client.create_tasks("twice", [task]).result_values[0].error.code == "TaskExists"
    client.begin_delete_job("twice", polling_interval=SOON).result()
    client.begin_delete_pool("twice", polling_interval=SOON).result()


def refused(call, code: str, status: int | None = None) -> None:
    with pytest.raises(HttpResponseError) as caught:
        call()
    assert caught.value.error.code == code
    assert status is None or caught.value.status_code == status


def pools_and_nodes(client: BatchClient) -> None:
    new_pool(client, "ops", 2, start_task=m.BatchStartTask(command_line="true", wait_for_success=True))
    assert client.pool_exists("ops")
    assert "ops" in [each.id for each in client.list_pools(select=["id"])]
    client.update_pool("ops", m.BatchPoolUpdateOptions(metadata=[m.BatchMetadataItem(name="a", value="b")]))
    assert client.get_pool("ops").metadata[0].value == "b"
    client.replace_pool_properties("ops", m.BatchPoolReplaceOptions(application_package_references=[], metadata=[]))
    wait_until(lambda: [each.state for each in client.list_nodes("ops")] == ["idle", "idle"])
    node = next(iter(client.list_nodes("ops", filter="state eq 'idle'"))).id
    assert client.get_node("ops", node, select=["id"]).state is None
    assert {each.name for each in client.list_node_files("ops", node)} >= {"startup"}
    stdout = "startup/stdout.txt"
    assert b"".join(client.download_node_file("ops", node, stdout)) == b""
    assert client.get_node_file_properties("ops", node, stdout).content_length == 0
    client.delete_node_file("ops", node, stdout)
    with pytest.raises(ResourceNotFoundError):  # the client does not read the body of a failed download
        client.download_node_file("ops", node, stdout)
    requeue = {"nodeDisableSchedulingOption": "requeue"}
    client.disable_node_scheduling("ops", node, options=requeue)
    refused(
        lambda: client.disable_node_scheduling("ops", node, options=requeue), "NodeAlreadyInTargetSchedulingState", 409
    )
    client.enable_node_scheduling("ops", node)
    client.begin_reboot_node("ops", node, options={"nodeRebootOption": "requeue"}, polling_interval=SOON).result()
    wait_until(lambda: client.get_node("ops", node).state == "idle")
    client.begin_reimage_node("ops", node, options={"nodeReimageOption": "requeue"}, polling_interval=SOON).result()
    wait_until(lambda: client.get_node("ops", node).state == "idle")
    counts = next(iter(client.list_pool_node_counts(filter="poolId eq 'ops'")))
    assert (counts.dedicated.idle, counts.dedicated.total) == (2, 2)
    refused(lambda: client.begin_start_node("ops", node), "NotImplemented", 501)
    refused(
        lambda: client.begin_deallocate_node("ops", node, options={"nodeDeallocateOption": "requeue"}),
        "NotImplemented",
        501,
    )
    refused(lambda: client.get_node_remote_login_settings("ops", node), "NotImplemented", 501)
    user = m.BatchNodeUserCreateOptions(name="u", password="secret-of-no-one")
    refused(lambda: client.create_node_user("ops", node, user), "NotImplemented", 501)
    refused(lambda: client.delete_node_user("ops", node, "u"), "NotImplemented", 501)
    update = m.BatchNodeUserReplaceOptions(password="secret-of-no-one")
    refused(lambda: client.replace_node_user("ops", node, "u", update), "NotImplemented", 501)
    logs = m.UploadBatchServiceLogsOptions(container_url="https://x", start_time=datetime.datetime(2026, 1, 1))
    refused(lambda: client.upload_node_logs("ops", node, logs), "NotImplemented", 501)
    assert list(client.list_node_extensions("ops", node)) == []
    refused(lambda: client.get_node_extension("ops", node, "e"), "ResourceNotFound", 404)
    client.begin_remove_nodes("ops", m.BatchNodeRemoveOptions(node_ids=[node]), polling_interval=SOON).result()
    assert len(list(client.list_nodes("ops"))) == 1
    client.begin_resize_pool("ops", m.BatchPoolResizeOptions(target_dedicated_nodes=2), polling_interval=SOON).result()
    assert client.get_pool("ops").current_dedicated_nodes == 2
    refused(lambda: client.begin_stop_pool_resize("ops"), "OperationInvalidForCurrentState", 409)
    formula = "$TargetDedicatedNodes = 2;"  # as many as there are: nothing is resized meanwhile
    refused(
        lambda: client.evaluate_pool_auto_scale("ops", m.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula)),
        "PoolNotEligibleForOperation",
    )
    client.enable_pool_auto_scale("ops", m.BatchPoolEnableAutoScaleOptions(auto_scale_formula=formula))
    run = client.evaluate_pool_auto_scale("ops", m.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula))
    assert run.results.startswith("$TargetDedicatedNodes=2;")
    client.disable_pool_auto_scale("ops")
    assert list(client.list_pool_usage_metrics()) == []
    assert "linux" in {each.os_type for each in client.list_supported_images()}
    assert list(client.list_applications()) == []
    refused(lambda: client.get_application("none"), "ApplicationNotFound", 404)


def jobs_and_tasks(client: BatchClient) -> None:
    client.create_job(m.BatchJobCreateOptions(id="ops", pool_info=m.BatchPoolInfo(pool_id="ops")))
    assert "ops" in [each.id for each in client.list_jobs(filter="state eq 'active'")]
    client.update_job("ops", m.BatchJobUpdateOptions(priority=1))
    job = client.get_job("ops")
    job.priority = 2
    client.replace_job("ops", job)
    assert client.get_job("ops").priority == 2
    client.create_task("ops", m.BatchTaskCreateOptions(id="fails", command_line="false"))
    group = m.BatchTaskGroup(task_values=[m.BatchTaskCreateOptions(id="sleeps", command_line="sleep 600")])
    assert client.create_task_collection("ops", group).result_values[0].status == "Success"
    wait_until(lambda: client.get_task("ops", "fails").state == "completed")
    failed = client.get_task("ops", "fails")
    assert (failed.execution_info.exit_code, failed.execution_info.failure_info.code) == (1, "FailureExitCode")
    client.reactivate_task("ops", "fails")
    wait_until(lambda: client.get_task("ops", "fails").state == "completed")
    client.delete_task_file("ops", "fails", "stderr.txt")
    with pytest.raises(ResourceNotFoundError):
        client.get_task_file_properties("ops", "fails", "wd/none")
    wait_until(lambda: client.get_task("ops", "sleeps").state == "running")
    sleeping = client.get_task("ops", "sleeps")
    client.replace_task("ops", "sleeps", m.BatchTask(constraints=m.BatchTaskConstraints(max_task_retry_count=0)))
    assert sleeping.node_info.task_root_directory.startswith("workitems/ops/")
    client.terminate_task("ops", "sleeps")
    wait_until(lambda: client.get_task("ops", "sleeps").state == "completed")
    assert client.get_task("ops", "sleeps").execution_info.failure_info.code == "TaskEnded"
    assert list(client.list_subtasks("ops", "sleeps")) == []
    client.delete_task("ops", "sleeps")
    refused(lambda: client.get_task("ops", "sleeps"), "TaskNotFound", 404)
    refused(
        lambda: list(client.list_job_preparation_and_release_task_status("ops")), "JobPreparationTaskNotSpecified", 409
    )
    disable = m.BatchJobDisableOptions(disable_tasks=m.DisableBatchJobOption.REQUEUE)
    client.begin_disable_job("ops", disable, polling_interval=SOON).result()
    assert client.get_job("ops").state == "disabled"
    client.begin_enable_job("ops", polling_interval=SOON).result()
    options = {"terminateReason": "done"}  # the client has a model of it and does not export it
    client.begin_terminate_job("ops", options=options, polling_interval=SOON).result()
    assert client.get_job("ops").execution_info.termination_reason == "done"
    client.begin_delete_job("ops", polling_interval=SOON).result()


def schedules(client: BatchClient) -> None:
    client.create_job_schedule(
        m.BatchJobScheduleCreateOptions(
            id="daily",
            schedule=m.BatchJobScheduleConfiguration(recurrence_interval=datetime.timedelta(days=1)),
            job_specification=m.BatchJobSpecification(pool_info=m.BatchPoolInfo(pool_id="ops")),
        )
    )
    assert client.job_schedule_exists("daily")
    wait_until(lambda: [each.id for each in client.list_jobs_from_schedule("daily")] == ["daily:job-1"])
    assert client.get_job_schedule("daily").execution_info.recent_job.id == "daily:job-1"
    client.disable_job_schedule("daily")
    assert client.get_job_schedule("daily").state == "disabled"
    client.enable_job_schedule("daily")
    client.update_job_schedule(
        "daily", m.BatchJobScheduleUpdateOptions(metadata=[m.BatchMetadataItem(name="a", value="b")])
    )
    schedule = client.get_job_schedule("daily")
    assert schedule.metadata[0].name == "a"
    client.replace_job_schedule("daily", schedule)
    assert [each.id for each in client.list_job_schedules(filter="id eq 'daily'")] == ["daily"]
    client.begin_terminate_job_schedule("daily", polling_interval=SOON).result()
    client.begin_delete_job_schedule("daily", polling_interval=SOON).result()
    refused(lambda: client.get_job_schedule("daily"), "JobScheduleNotFound", 404)


def test_every_operation_answers_as_the_client_expects(server, client):
    pools_and_nodes(client)
    jobs_and_tasks(client)
    schedules(client)
    stop = m.BatchPoolResizeOptions(target_dedicated_nodes=1)
    client.begin_resize_pool("ops", stop, polling_interval=SOON).result()
    client.begin_delete_pool("ops", polling_interval=SOON).result()
    only_older_clients = {"Certificate", "Pool_UpdateOS", "GetRemoteDesktop", "LifetimeStatistics"}
    asked = {name for name, _ in server.answered}
    missed = {each.name for each in OPERATIONS} - asked
    assert {name for name in missed if not any(part in name for part in only_older_clients)} == set()
    assert {name for name, status in server.answered if status == 501} == {
        each.name for each in OPERATIONS if each.handler is None
    } & asked
    assert [each for each in server.answered if each[1] == 500] == []
