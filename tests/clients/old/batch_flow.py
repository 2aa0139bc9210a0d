"""Run by the older client's Python: the whole life of a pool and a job with azure-batch 14.2. Prints one JSON object.

usage: batch_flow.py URL ACCOUNT KEY STORAGE_URL
"""

import datetime
import json
import sys
import time

from azure.batch import BatchServiceClient
from azure.batch import models as m
from azure.batch.batch_auth import SharedKeyCredentials


def wait_until(done):
    end = time.monotonic() + 30
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("it took too long")
        time.sleep(0.02)


def code_of(call):
    try:
        call()
    except m.BatchErrorException as problem:
        return problem.error.code
    return "no error"


def main(url, account, key, storage):
    client = BatchServiceClient(SharedKeyCredentials(account, key), batch_url=url)
    client.config.retry_policy.retries = 0
    told = {}
    image = m.VirtualMachineConfiguration(
        image_reference=m.ImageReference(publisher="canonical", offer="ubuntu", sku="22_04-lts"),
        node_agent_sku_id="batch.node.ubuntu 22.04",
    )
    pool = m.PoolAddParameter(
        id="old",
        vm_size="standard_d2s_v3",
        virtual_machine_configuration=image,
        target_dedicated_nodes=1,
        task_slots_per_node=2,
        start_task=m.StartTask(command_line="true", wait_for_success=True),
    )
    client.pool.add(pool)
    told["again"] = code_of(lambda: client.pool.add(pool))
    told["exists"] = client.pool.exists("old")
    client.job.add(
        m.JobAddParameter(
            id="old",
            pool_info=m.PoolInformation(pool_id="old"),
            uses_task_dependencies=True,
            constraints=m.JobConstraints(max_wall_clock_time=datetime.timedelta(hours=1)),
        )
    )
    words = m.ResourceFile(http_url=f"{storage}/input/data/words.txt", file_path="words.txt")
    container = m.OutputFileBlobContainerDestination(container_url=f"{storage}/output", path="old")
    output = m.OutputFile(
        file_pattern="../std*.txt",
        destination=m.OutputFileDestination(container=container),
        upload_options=m.OutputFileUploadOptions(upload_condition="taskcompletion"),
    )
    tasks = [
        m.TaskAddParameter(
            id=str(number),
            command_line="/bin/sh -c 'cat words.txt; echo $AZ_BATCH_TASK_ID > id.txt'",
            resource_files=[words],
            output_files=[output] if number == 1 else None,
            depends_on=m.TaskDependencies(task_ids=["1"]) if number > 1 else None,
        )
        for number in range(1, 101)
    ]
    added = client.task.add_collection("old", tasks).value
    told["added"] = [len(added), sorted({str(each.status) for each in added})]
    wait_until(lambda: client.job.get_task_counts("old").task_counts.completed == 100)
    told["succeeded"] = client.job.get_task_counts("old").task_counts.succeeded
    told["stdout"] = b"".join(client.file.get_from_task("old", "7", "stdout.txt")).decode()
    part = m.FileGetFromTaskOptions(ocp_range="bytes=4-6")
    told["range"] = b"".join(client.file.get_from_task("old", "7", "stdout.txt", part)).decode()
    raw = client.file.get_properties_from_task("old", "7", "wd/id.txt", raw=True)
    told["size"] = raw.response.headers["Content-Length"]
    listed = client.file.list_from_task("old", "7", recursive=True)
    told["files"] = sorted(each.name for each in listed)
    few = client.task.list("old", m.TaskListOptions(filter="state eq 'completed'", select="id", max_results=40))
    told["paged"] = len(list(few))
    job = client.job.get("old")
    client.job.patch("old", m.JobPatchParameter(priority=3), m.JobPatchOptions(if_match=job.e_tag))
    told["stale"] = code_of(
        lambda: client.job.patch("old", m.JobPatchParameter(priority=4), m.JobPatchOptions(if_match=job.e_tag))
    )
    told["priority"] = client.job.get("old").priority
    told["limit"] = str(client.job.get("old").constraints.max_wall_clock_time)
    told["nodes"] = [each.state for each in client.compute_node.list("old")]
    told["images"] = len(list(client.account.list_supported_images()))
    told["counts"] = [each.dedicated.total for each in client.account.list_pool_node_counts()]
    told["certificates"] = code_of(lambda: list(client.certificate.list()))
    node = next(iter(client.compute_node.list("old"))).id
    told["desktop"] = code_of(lambda: list(client.compute_node.get_remote_desktop("old", node)))
    client.job.terminate("old", terminate_reason="over")
    wait_until(lambda: client.job.get("old").state == m.JobState.completed)
    told["reason"] = client.job.get("old").execution_info.terminate_reason
    client.job.delete("old")
    wait_until(lambda: code_of(lambda: client.job.get("old")) == "JobNotFound")
    client.pool.delete("old")
    wait_until(lambda: code_of(lambda: client.pool.get("old")) == "PoolNotFound")
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
