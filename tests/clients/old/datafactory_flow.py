"""The tutorial with the typed models of azure-mgmt-datafactory 9.3, sync and aio. Prints what it saw as JSON."""

import asyncio
import json
import sys
import time
from datetime import datetime, timedelta, timezone

from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AsyncioRequestsTransport
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.datafactory import models as m
from azure.mgmt.datafactory.aio import DataFactoryManagementClient as AsyncClient

URL, CA, TOKEN, STORAGE_KEY, BATCH_KEY = sys.argv[1:]
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
STORE = m.LinkedServiceReference(type="LinkedServiceReference", reference_name="StorageLinkedService")
BATCH = m.LinkedServiceReference(type="LinkedServiceReference", reference_name="BatchLinkedService")
UTC = timezone.utc  # noqa: UP017 - other interpreters run this too
NOW = datetime.now(UTC)
RANGE = {"last_updated_after": NOW - timedelta(days=1), "last_updated_before": NOW + timedelta(days=365)}


class Key:
    def get_token(self, *scopes, **options):
        return AccessToken(TOKEN, 4102444800)


class AsyncKey:
    async def get_token(self, *scopes, **options):
        return AccessToken(TOKEN, 4102444800)


def finished(client, factory, run_id):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        run = client.pipeline_runs.get("rg", factory, run_id)
        if run.status not in ("Queued", "InProgress"):
            return run
        time.sleep(0.05)
    raise SystemExit(f"run {run_id} does not end")


def make(client):
    client.factories.create_or_update("rg", "old", m.Factory(location="westeurope"))
    text = f"DefaultEndpointsProtocol=https;AccountName=mystore;AccountKey={STORAGE_KEY}"
    store = m.AzureBlobStorageLinkedService(connection_string=m.SecureString(value=text))
    client.linked_services.create_or_update(
        "rg", "old", STORE.reference_name, m.LinkedServiceResource(properties=store)
    )
    pool = m.AzureBatchLinkedService(
        account_name="mybatch",
        access_key=m.SecureString(value=BATCH_KEY),
        batch_uri="https://mybatch.westeurope.batch.azure.com",
        pool_name="mypool",
        linked_service_name=STORE,
    )
    client.linked_services.create_or_update("rg", "old", BATCH.reference_name, m.LinkedServiceResource(properties=pool))
    for name, folder, file in (("SourceParquet", "input", None), ("TargetParquet", "old", "NewFile.parq")):
        location = m.AzureBlobStorageLocation(container="filestorage", folder_path=folder, file_name=file)
        properties = m.ParquetDataset(linked_service_name=STORE, location=location)
        client.datasets.create_or_update("rg", "old", name, m.DatasetResource(properties=properties))
    copy = m.CopyActivity(
        name="CopyFile",
        inputs=[m.DatasetReference(type="DatasetReference", reference_name="SourceParquet")],
        outputs=[m.DatasetReference(type="DatasetReference", reference_name="TargetParquet")],
        source=m.ParquetSource(
            store_settings=m.AzureBlobStorageReadSettings(
                recursive=True, wildcard_folder_path="input", wildcard_file_name="*.parq"
            )
        ),
        sink=m.ParquetSink(store_settings=m.AzureBlobStorageWriteSettings(copy_behavior="MergeFiles")),
    )
    custom = m.CustomActivity(
        name="CountInBatch",
        command='/bin/sh -c ". ./count.sh"',
        linked_service_name=BATCH,
        resource_linked_service=STORE,
        folder_path="filestorage/program",
        policy=m.ActivityPolicy(timeout="0.12:00:00", retry=0),
        depends_on=[m.ActivityDependency(activity="CopyFile", dependency_conditions=["Succeeded"])],
    )
    parameters = {"n": m.ParameterSpecification(type="Int", default_value=4)}
    client.pipelines.create_or_update(
        "rg", "old", "CopyParquet", m.PipelineResource(activities=[copy, custom], parameters=parameters)
    )
    wait = m.WaitActivity(name="w", wait_time_in_seconds=1)
    client.pipelines.create_or_update("rg", "old", "Quick", m.PipelineResource(activities=[wait]))


def trigger(client):
    recurrence = m.ScheduleTriggerRecurrence(
        frequency="Minute",
        interval=1,
        start_time=datetime(2020, 1, 1, tzinfo=UTC),
        time_zone="UTC",
    )
    started = m.PipelineReference(type="PipelineReference", reference_name="Quick")
    properties = m.ScheduleTrigger(
        recurrence=recurrence, pipelines=[m.TriggerPipelineReference(pipeline_reference=started, parameters={})]
    )
    client.triggers.create_or_update("rg", "old", "EveryMinute", m.TriggerResource(properties=properties))
    client.triggers.begin_start("rg", "old", "EveryMinute").result()
    state = client.triggers.get("rg", "old", "EveryMinute").properties.runtime_state
    end = time.monotonic() + 60
    runs = []
    while not runs and time.monotonic() < end:
        runs = client.trigger_runs.query_by_factory("rg", "old", m.RunFilterParameters(**RANGE)).value
        time.sleep(0.1)
    client.triggers.begin_stop("rg", "old", "EveryMinute").result()
    after = client.triggers.get("rg", "old", "EveryMinute").properties.runtime_state
    return [state, runs[0].trigger_type, runs[0].status, sorted(runs[0].triggered_pipelines), after]


def main():
    client = DataFactoryManagementClient(Key(), SUBSCRIPTION, base_url=URL, connection_verify=CA)
    told = {}
    with client:
        make(client)
        run_id = client.pipelines.create_run("rg", "old", "CopyParquet", parameters={"n": 5}).run_id
        run = finished(client, "old", run_id)
        told["run"] = [run.status, run.parameters, run.invoked_by.invoked_by_type, run.run_end is not None]
        filters = [m.RunQueryFilter(operand="Status", operator="Equals", values=["Succeeded"])]
        order = [m.RunQueryOrderBy(order_by="ActivityRunStart", order="ASC")]
        parameters = m.RunFilterParameters(filters=filters, order_by=order, **RANGE)
        found = client.activity_runs.query_by_pipeline_run("rg", "old", run_id, parameters).value
        told["activities"] = [[each.activity_name, each.activity_type, each.status] for each in found]
        told["copy"] = {name: found[0].output[name] for name in ("rowsCopied", "filesRead", "filesWritten")}
        told["custom"] = [found[1].output["exitcode"], found[1].output["customOutput"]]
        store = client.linked_services.get("rg", "old", "StorageLinkedService").properties
        told["secret"] = [type(store).__name__, store.connection_string]
        kinds = client.pipelines.get("rg", "old", "CopyParquet").activities
        told["kinds"] = [type(each).__name__ for each in kinds]
        told["trigger"] = trigger(client)
        etag = client.pipelines.get("rg", "old", "Quick").etag
        told["unchanged"] = client.pipelines.get("rg", "old", "Quick", if_none_match=etag) is None
        told["pipelines"] = sorted(each.name for each in client.pipelines.list_by_factory("rg", "old"))
    told["aio"] = asyncio.run(with_aio())
    print(json.dumps(told))


async def with_aio():
    transport = AsyncioRequestsTransport(connection_verify=CA)
    async with AsyncClient(AsyncKey(), SUBSCRIPTION, base_url=URL, transport=transport) as client:
        run_id = (await client.pipelines.create_run("rg", "old", "Quick")).run_id
        status = ""
        end = time.monotonic() + 60
        while status not in ("Succeeded", "Failed") and time.monotonic() < end:
            await asyncio.sleep(0.05)
            status = (await client.pipeline_runs.get("rg", "old", run_id)).status
        return status


main()
