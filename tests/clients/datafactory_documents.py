"""The tutorial's documents as a client writes them with dicts."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
STORE = {"type": "LinkedServiceReference", "referenceName": "StorageLinkedService"}
BATCH = {"type": "LinkedServiceReference", "referenceName": "BatchLinkedService"}


def linked_services(storage_key: str, batch_key: str) -> dict[str, Json]:
    """The store and the pool."""
    text = (
        f"DefaultEndpointsProtocol=https;AccountName=mystore;AccountKey={storage_key};EndpointSuffix=core.windows.net"
    )
    return {
        "StorageLinkedService": {
            "properties": {
                "type": "AzureBlobStorage",
                "typeProperties": {"connectionString": {"type": "SecureString", "value": text}},
            }
        },
        "BatchLinkedService": {
            "properties": {
                "type": "AzureBatch",
                "typeProperties": {
                    "accountName": "mybatch",
                    "accessKey": {"type": "SecureString", "value": batch_key},
                    "batchUri": "https://mybatch.westeurope.batch.azure.com",
                    "poolName": "mypool",
                    "linkedServiceName": STORE,
                },
            }
        },
    }


def dataset(folder: str, file: str | None = None) -> Json:
    """A parquet dataset."""
    location = {"type": "AzureBlobStorageLocation", "container": "filestorage", "folderPath": folder}
    if file is not None:
        location["fileName"] = file
    return {
        "properties": {"type": "Parquet", "linkedServiceName": STORE, "typeProperties": {"location": location}},
    }


COPY = {
    "name": "CopyFile",
    "type": "Copy",
    "inputs": [{"referenceName": "SourceParquet", "type": "DatasetReference"}],
    "outputs": [{"referenceName": "TargetParquet", "type": "DatasetReference"}],
    "typeProperties": {
        "source": {
            "type": "ParquetSource",
            "storeSettings": {
                "type": "AzureBlobStorageReadSettings",
                "recursive": True,
                "wildcardFolderPath": "input",
                "wildcardFileName": "*.parq",
            },
        },
        "sink": {
            "type": "ParquetSink",
            "storeSettings": {"type": "AzureBlobStorageWriteSettings", "copyBehavior": "MergeFiles"},
        },
    },
}
CUSTOM = {
    "name": "CountInBatch",
    "type": "Custom",
    "dependsOn": [{"activity": "CopyFile", "dependencyConditions": ["Succeeded"]}],
    "linkedServiceName": BATCH,
    "policy": {"timeout": "0.12:00:00", "retry": 0},
    "typeProperties": {
        "command": {
            "type": "Expression",
            "value": "@concat('/bin/sh -c \"echo ', pipeline().parameters.word, '; . ./count.sh\"')",
        },
        "resourceLinkedService": STORE,
        "folderPath": "filestorage/program",
    },
}
PIPELINE = {
    "properties": {
        "activities": [COPY, CUSTOM],
        "parameters": {"word": {"type": "String", "defaultValue": "hello"}},
        "annotations": ["tutorial"],
    }
}
QUICK = {"properties": {"activities": [{"name": "w", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 1}}]}}
TRIGGER = {
    "properties": {
        "type": "ScheduleTrigger",
        "pipelines": [{"pipelineReference": {"type": "PipelineReference", "referenceName": "Quick"}}],
        "typeProperties": {
            "recurrence": {"frequency": "Minute", "interval": 1, "startTime": "2020-01-01T00:00:00Z", "timeZone": "UTC"}
        },
    }
}
RANGE = {"lastUpdatedAfter": "2000-01-01T00:00:00Z", "lastUpdatedBefore": "2100-01-01T00:00:00Z"}

COPY_OUTPUT = {
    *("dataRead", "dataWritten", "filesRead", "filesWritten", "rowsRead", "rowsCopied", "copyDuration", "throughput"),
    *("errors", "effectiveIntegrationRuntime", "usedDataIntegrationUnits", "executionDetails", "sourcePeakConnections"),
}
CUSTOM_OUTPUT = {"exitcode", "outputs", "computeInformation", "effectiveIntegrationRuntime", "customOutput"}
