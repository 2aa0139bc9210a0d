"""The tutorial with Microsoft's clients, from an empty subscription to the runs' outputs: a program for Azure.

It knows nothing of kyanite. `options` and `blob_url` are for callers that name another address; alone, the program
takes DefaultAzureCredential and Azure's own. It prints what it saw as one line of JSON.
"""

from __future__ import annotations

import io
import json
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
from azure.mgmt.batch import BatchManagementClient
from azure.mgmt.datafactory import DataFactoryManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient
from azure.storage.blob import BlobServiceClient

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP, STORE, BATCH, POOL, FACTORY = "airline-rg", "airlinestore", "airlinebatch", "airlinepool", "airlinefactory"
ROWS = 500
RANGE = {"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00Z"}
IMAGE = {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts", "version": "latest"}
MACHINE = {"virtualMachineConfiguration": {"imageReference": IMAGE, "nodeAgentSkuId": "batch.node.ubuntu 22.04"}}
STORE_SERVICE = {"type": "LinkedServiceReference", "referenceName": "Store"}
WITHIN = 120.0


def tutorial(credential, options, blob_url=f"https://{STORE}.blob.core.windows.net"):
    """Everything of the tutorial; what was seen."""
    seen = {}
    with ResourceManagementClient(credential, SUBSCRIPTION, **options) as resources:
        assert not resources.resource_groups.check_existence(GROUP)
        group = resources.resource_groups.create_or_update(GROUP, {"location": "westeurope", "tags": {"for": "test"}})
        seen["group"] = [group.name, group.location, group.tags]
    store_key = make_storage(credential, options, blob_url)
    batch_key = make_batch(credential, options)
    with DataFactoryManagementClient(credential, SUBSCRIPTION, **options) as client:
        make_factory(client, store_key, batch_key)
        run_id = client.pipelines.create_run(GROUP, FACTORY, "CopyAndCount", {"word": "greetings"}).run_id
        seen["run"] = finished(client, run_id)
        found = client.activity_runs.query_by_pipeline_run(GROUP, FACTORY, run_id, RANGE).value
        seen["activities"] = [[each.activity_name, each.status] for each in found]
        seen["copy"], seen["custom"] = (each.output for each in found)
        client.triggers.create_or_update(GROUP, FACTORY, "EveryMinute", TRIGGER)
        client.triggers.begin_start(GROUP, FACTORY, "EveryMinute").result()
        seen["trigger"] = [client.triggers.get(GROUP, FACTORY, "EveryMinute").properties.runtime_state]
        client.triggers.begin_stop(GROUP, FACTORY, "EveryMinute").result()
        seen["trigger"].append(client.triggers.get(GROUP, FACTORY, "EveryMinute").properties.runtime_state)
    with BlobServiceClient(blob_url, credential=store_key, **only_trust(options)) as blobs:
        merged = blobs.get_blob_client("filestorage", "source/all.parquet").download_blob().readall()
        seen["rows"] = pq.read_metadata(io.BytesIO(merged)).num_rows
    return seen


def make_storage(credential, options, blob_url):
    """Account with a hierarchical namespace, containers, two files and the program; its key."""
    with StorageManagementClient(credential, SUBSCRIPTION, **options) as storage:
        wanted = {
            "location": "westeurope",
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "properties": {"isHnsEnabled": True},
        }
        account = storage.storage_accounts.begin_create(GROUP, STORE, wanted).result()
        assert account.is_hns_enabled
        for container in ("filestorage", "program"):
            assert storage.blob_containers.create(GROUP, STORE, container, {}).name == container
        key = storage.storage_accounts.list_keys(GROUP, STORE).keys_property[0].value
    with BlobServiceClient(blob_url, credential=key, **only_trust(options)) as blobs:
        for number in range(2):
            out = io.BytesIO()
            pq.write_table(pa.table({"id": pa.array(range(ROWS))}), out)
            blobs.get_blob_client("filestorage", f"input/part{number}.parquet").upload_blob(out.getvalue())
        program = b"echo counted; echo '{\"parts\": 2}' > outputs.json\n"
        blobs.get_blob_client("program", "count/count.sh").upload_blob(program)
    return key


def make_batch(credential, options):
    """Account and pool; its key."""
    with BatchManagementClient(credential, SUBSCRIPTION, **options) as batch:
        batch.batch_account.begin_create(GROUP, BATCH, {"location": "westeurope"}).result()
        scale = {"fixedScale": {"targetDedicatedNodes": 1, "resizeTimeout": "PT15M"}}
        pool = {"vmSize": "STANDARD_D2S_V3", "deploymentConfiguration": MACHINE, "scaleSettings": scale}
        assert batch.pool.create(GROUP, BATCH, POOL, {"properties": pool}).name == POOL
        wait_until(lambda: batch.pool.get(GROUP, BATCH, POOL).properties.allocation_state == "Steady")
        return batch.batch_account.get_keys(GROUP, BATCH).primary


def make_factory(client, store_key, batch_key):
    """The factory and its documents."""
    assert client.factories.create_or_update(GROUP, FACTORY, {"location": "westeurope"}).name == FACTORY
    text = f"DefaultEndpointsProtocol=https;AccountName={STORE};AccountKey={store_key};EndpointSuffix=core.windows.net"
    store = {"connectionString": {"type": "SecureString", "value": text}}
    pool = {
        "accountName": BATCH,
        "accessKey": {"type": "SecureString", "value": batch_key},
        "batchUri": f"https://{BATCH}.westeurope.batch.azure.com",
        "poolName": POOL,
        "linkedServiceName": STORE_SERVICE,
    }
    for name, kind, properties in (("Store", "AzureBlobStorage", store), ("Pool", "AzureBatch", pool)):
        document = {"properties": {"type": kind, "typeProperties": properties}}
        client.linked_services.create_or_update(GROUP, FACTORY, name, document)
    client.datasets.create_or_update(GROUP, FACTORY, "Input", dataset({"folderPath": "input"}))
    client.datasets.create_or_update(
        GROUP, FACTORY, "All", dataset({"folderPath": "source", "fileName": "all.parquet"})
    )
    client.pipelines.create_or_update(GROUP, FACTORY, "CopyAndCount", PIPELINE)
    client.pipelines.create_or_update(GROUP, FACTORY, "Quick", QUICK)


def dataset(place):
    """A parquet dataset in the container."""
    location = {"type": "AzureBlobStorageLocation", "container": "filestorage", **place}
    return {
        "properties": {"type": "Parquet", "linkedServiceName": STORE_SERVICE, "typeProperties": {"location": location}}
    }


READ = {"type": "AzureBlobStorageReadSettings", "recursive": True, "wildcardFileName": "*.parquet"}
WRITE = {"type": "AzureBlobStorageWriteSettings", "copyBehavior": "MergeFiles"}
COPY = {
    "name": "Copy",
    "type": "Copy",
    "inputs": [{"referenceName": "Input", "type": "DatasetReference"}],
    "outputs": [{"referenceName": "All", "type": "DatasetReference"}],
    "typeProperties": {
        "source": {"type": "ParquetSource", "storeSettings": READ},
        "sink": {"type": "ParquetSink", "storeSettings": WRITE},
    },
}
COUNT = {
    "name": "Count",
    "type": "Custom",
    "dependsOn": [{"activity": "Copy", "dependencyConditions": ["Succeeded"]}],
    "linkedServiceName": {"type": "LinkedServiceReference", "referenceName": "Pool"},
    "typeProperties": {
        "command": "@concat('/bin/sh -c \"echo ', pipeline().parameters.word, '; . ./count.sh\"')",
        "resourceLinkedService": STORE_SERVICE,
        "folderPath": "program/count",
    },
}
PIPELINE = {
    "properties": {
        "activities": [COPY, COUNT],
        "parameters": {"word": {"type": "String", "defaultValue": "hello"}},
    }
}
QUICK = {"properties": {"activities": [{"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}]}}
RECURRENCE = {"frequency": "Minute", "interval": 1, "startTime": "2020-01-01T00:00:00Z", "timeZone": "UTC"}
TRIGGER = {
    "properties": {
        "type": "ScheduleTrigger",
        "pipelines": [{"pipelineReference": {"type": "PipelineReference", "referenceName": "Quick"}}],
        "typeProperties": {"recurrence": RECURRENCE},
    }
}


def only_trust(options):
    """What of the management clients' options is for the storage client too."""
    return {name: value for name, value in options.items() if name == "connection_verify"}


def finished(client, run_id):
    """The status a run ends with."""

    def ended():
        status = client.pipeline_runs.get(GROUP, FACTORY, run_id).status
        return status if status not in ("Queued", "InProgress", "Canceling") else None

    return wait_until(ended)


def wait_until(look):
    """What `look` gives once it gives something."""
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.1)
    raise TimeoutError


if __name__ == "__main__":
    from azure.identity import DefaultAzureCredential

    print(json.dumps(tutorial(DefaultAzureCredential(), {})))
    sys.exit(0)
