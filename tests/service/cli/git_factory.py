"""Git folders of factories, written by the tests that need them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = "airline"


@dataclass(frozen=True)
class Result:
    """How a command line ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def spawn(home: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "kyanite", "--home", str(home), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@dataclass(frozen=True)
class GitFactory:
    """A git folder; each method writes one resource."""

    folder: Path

    def write(self, kind: str, name: str, properties: Mapping[str, Any]) -> Path:
        file = self.folder / kind / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"name": name, "properties": properties}, indent=2), encoding="utf-8")
        return file

    def pipeline(self, name: str, *activities: Mapping[str, Any], **properties: Any) -> None:
        self.write("pipeline", name, {"activities": list(activities), **properties})

    def storage(self, name: str = "Store", key: str | None = None) -> None:
        text = f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};EndpointSuffix=core.windows.net;"
        properties = {"connectionString": text + (f"AccountKey={key}" if key else "")}
        self.write("linkedService", name, {"type": "AzureBlobStorage", "typeProperties": properties})

    def parquet(self, name: str, folder: str, file: str | None = None) -> None:
        location = {"type": "AzureBlobStorageLocation", "container": "data", "folderPath": folder}
        if file is not None:
            location["fileName"] = file
        reference = {"referenceName": "Store", "type": "LinkedServiceReference"}
        properties = {"type": "Parquet", "linkedServiceName": reference, "typeProperties": {"location": location}}
        self.write("dataset", name, properties)

    def copy_pipeline(self, wildcard: str = "*.parquet") -> None:
        """A pipeline `Copy` that merges `data/in/*.parquet` into `data/out/all.parquet`."""
        self.parquet("Source", "in")
        self.parquet("Target", "out", "all.parquet")
        self.pipeline("Copy", copy(wildcard))

    def batch(self, pool: str = "pool") -> None:
        reference = {"referenceName": "Store", "type": "LinkedServiceReference"}
        properties = {
            "accountName": "batch1",
            "batchUri": "https://batch1.local.batch.azure.com",
            "poolName": pool,
            "linkedServiceName": reference,
        }
        self.write("linkedService", "Batch", {"type": "AzureBatch", "typeProperties": properties})


def wait(name: str, seconds: float, *after: str) -> dict[str, Any]:
    """A Wait activity."""
    return {
        "name": name,
        "type": "Wait",
        "dependsOn": depends(*after),
        "typeProperties": {"waitTimeInSeconds": seconds},
    }


def set_variable(name: str, variable: str, value: Any, *after: str) -> dict[str, Any]:
    """A SetVariable activity."""
    return {
        "name": name,
        "type": "SetVariable",
        "dependsOn": depends(*after),
        "typeProperties": {"variableName": variable, "value": value},
    }


def copy(wildcard: str) -> dict[str, Any]:
    """A Copy activity that merges parquet files."""
    read = {"type": "AzureBlobStorageReadSettings", "recursive": True, "wildcardFileName": wildcard}
    return {
        "name": "Merge",
        "type": "Copy",
        "inputs": [{"referenceName": "Source", "type": "DatasetReference"}],
        "outputs": [{"referenceName": "Target", "type": "DatasetReference"}],
        "typeProperties": {
            "source": {
                "type": "ParquetSource",
                "storeSettings": read,
                "formatSettings": {"type": "ParquetReadSettings"},
            },
            "sink": {
                "type": "ParquetSink",
                "storeSettings": {"type": "AzureBlobStorageWriteSettings", "copyBehavior": "MergeFiles"},
                "formatSettings": {"type": "ParquetWriteSettings"},
            },
        },
    }


def custom(command: str, timeout: str = "0.00:01:00") -> dict[str, Any]:
    """A Custom activity."""
    return {
        "name": "Task",
        "type": "Custom",
        "linkedServiceName": {"referenceName": "Batch", "type": "LinkedServiceReference"},
        "policy": {"timeout": timeout, "retry": 0},
        "typeProperties": {"command": command},
    }


def depends(*names: str) -> list[dict[str, Any]]:
    """Success links."""
    return [{"activity": name, "dependencyConditions": ["Succeeded"]} for name in names]


def pool_template(nodes: int = 1, start_task: str | None = None) -> dict[str, Any]:
    """An ARM template with a storage account, a Batch account and one pool of it."""
    image = {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04"}
    pool: dict[str, Any] = {
        "vmSize": "standard_f2s_v2",
        "deploymentConfiguration": {
            "virtualMachineConfiguration": {"imageReference": image, "nodeAgentSkuId": "batch.node.ubuntu 22.04"}
        },
        "scaleSettings": {"fixedScale": {"targetDedicatedNodes": nodes, "targetLowPriorityNodes": 0}},
    }
    if start_task is not None:
        pool["startTask"] = {"commandLine": start_task, "waitForSuccess": True, "maxTaskRetryCount": 0}
    return {
        "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {"nodes": {"type": "int", "defaultValue": nodes}},
        "resources": [
            {
                "type": "Microsoft.Storage/storageAccounts",
                "apiVersion": "2019-06-01",
                "name": ACCOUNT,
                "location": "local",
                "properties": {"isHnsEnabled": True},
            },
            {
                "type": "Microsoft.Batch/batchAccounts",
                "apiVersion": "2020-05-01",
                "name": "batch1",
                "location": "local",
                "properties": {},
            },
            {
                "type": "Microsoft.Batch/batchAccounts/pools",
                "apiVersion": "2020-05-01",
                "name": "batch1/pool",
                "dependsOn": ["Microsoft.Batch/batchAccounts/batch1"],
                "properties": pool,
            },
        ],
    }
