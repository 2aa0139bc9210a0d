"""Pool bodies of the management API -> the Batch service's own document. Unknown properties are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite.batch.documents import read_pool
from kyanite.batch.model import PoolSpec
from kyanite.batch.reading import part

# ARM's name -> the Batch service's; every other property has one name in both
_RENAMED = {"applicationPackages": "applicationPackageReferences"}
_MOVED = ("scaleSettings", "deploymentConfiguration", "interNodeCommunication")
_MACHINE = {"nodeAgentSkuId": "nodeAgentSKUId"}


def pool_from_arm(pool_id: str, properties: Mapping[str, Any]) -> PoolSpec:
    """Read the `properties` of a Microsoft.Batch/batchAccounts/pools resource."""
    return read_pool(rest_from_arm(pool_id, properties))


def pool_from_rest(body: Mapping[str, Any]) -> PoolSpec:
    """Read the body of the Batch service's `POST /pools`."""
    return read_pool(body)


def rest_from_arm(pool_id: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The Batch service's document of a pool that ARM describes."""
    body = {_RENAMED.get(name, name): value for name, value in properties.items() if name not in _MOVED}
    body = {"id": pool_id, "vmSize": "local", **body}
    scale = part(properties, "scaleSettings")
    auto, fixed = part(scale, "autoScale"), part(scale, "fixedScale")
    if auto:
        body["enableAutoScale"] = True
        body["autoScaleFormula"] = auto.get("formula")
        if auto.get("evaluationInterval") is not None:
            body["autoScaleEvaluationInterval"] = auto["evaluationInterval"]
    else:
        body["targetDedicatedNodes"] = fixed.get("targetDedicatedNodes") or 0
        body["targetLowPriorityNodes"] = fixed.get("targetLowPriorityNodes") or 0
        if fixed.get("resizeTimeout") is not None:
            body["resizeTimeout"] = fixed["resizeTimeout"]
    machine = part(part(properties, "deploymentConfiguration"), "virtualMachineConfiguration")
    if machine:
        body["virtualMachineConfiguration"] = {_MACHINE.get(name, name): value for name, value in machine.items()}
    if properties.get("interNodeCommunication") is not None:
        body["enableInterNodeCommunication"] = str(properties["interNodeCommunication"]).lower() == "enabled"
    return body
