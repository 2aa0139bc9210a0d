"""Batch accounts and pools as Azure Resource Manager writes them. Nothing here looks at the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite import limits

NAMESPACE = "Microsoft.Batch"

# the Batch service's name of a pool's property -> Resource Manager's; all others have one name in both
_RENAMED = {"applicationPackageReferences": "applicationPackages"}
_LEFT_OUT = frozenset(
    {
        "allocationState",
        "allocationStateTransitionTime",
        "autoScaleEvaluationInterval",
        "autoScaleFormula",
        "autoScaleRun",
        "currentDedicatedNodes",
        "currentLowPriorityNodes",
        "eTag",
        "enableAutoScale",
        "enableInterNodeCommunication",
        "id",
        "resizeErrors",
        "resizeTimeout",
        "state",
        "stateTransitionTime",
        "stats",
        "targetDedicatedNodes",
        "targetLowPriorityNodes",
        "url",
        "virtualMachineConfiguration",
    }
)


def account_properties(given: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """The properties of an account: what was given for it, its endpoint (host, port, path; no scheme), its quotas."""
    properties: dict[str, Any] = {
        "accountEndpoint": endpoint,
        "nodeManagementEndpoint": endpoint,
        "provisioningState": "Succeeded",
        "poolAllocationMode": "BatchService",
        "publicNetworkAccess": given.get("publicNetworkAccess") or "Enabled",
        "dedicatedCoreQuota": limits.NODES_PER_POOL * limits.POOLS_PER_ACCOUNT,
        "lowPriorityCoreQuota": limits.LOW_PRIORITY_NODES_PER_POOL * limits.POOLS_PER_ACCOUNT,
        "dedicatedCoreQuotaPerVMFamily": [],
        "dedicatedCoreQuotaPerVMFamilyEnforced": False,
        "poolQuota": limits.POOLS_PER_ACCOUNT,
        "activeJobAndJobScheduleQuota": limits.ACTIVE_JOBS_PER_ACCOUNT,
        "allowedAuthenticationModes": ["SharedKey", "AAD", "TaskAuthenticationToken"],
        "encryption": {"keySource": "Microsoft.Batch"},
        "networkProfile": {},
    }
    storage = given.get("autoStorage")
    if isinstance(storage, Mapping) and storage.get("storageAccountId"):
        properties["autoStorage"] = {"authenticationMode": "StorageKeys", **storage}
    return properties


def pool_properties(pool: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of a pool from the Batch service's own JSON of it."""
    properties = {_RENAMED.get(name, name): value for name, value in pool.items() if name not in _LEFT_OUT}
    properties["provisioningState"] = "Deleting" if pool.get("state") == "deleting" else "Succeeded"
    properties["provisioningStateTransitionTime"] = pool.get("stateTransitionTime")
    properties["allocationState"] = str(pool.get("allocationState", "steady")).capitalize()
    properties["allocationStateTransitionTime"] = pool.get("allocationStateTransitionTime")
    properties["currentDedicatedNodes"] = pool.get("currentDedicatedNodes", 0)
    properties["currentLowPriorityNodes"] = pool.get("currentLowPriorityNodes", 0)
    properties["scaleSettings"] = _scale_settings(pool)
    if pool.get("autoScaleRun"):
        properties["autoScaleRun"] = _autoscale_run(pool["autoScaleRun"])
    else:
        properties["resizeOperationStatus"] = _resize_status(pool)
    properties["interNodeCommunication"] = "Enabled" if pool.get("enableInterNodeCommunication") else "Disabled"
    machine = pool.get("virtualMachineConfiguration")
    if machine is not None:
        names = {"nodeAgentSKUId": "nodeAgentSkuId"}
        renamed = {names.get(name, name): value for name, value in machine.items()}
        properties["deploymentConfiguration"] = {"virtualMachineConfiguration": renamed}
    policy = pool.get("taskSchedulingPolicy")
    if isinstance(policy, Mapping) and policy.get("nodeFillType"):
        properties["taskSchedulingPolicy"] = {**policy, "nodeFillType": str(policy["nodeFillType"]).capitalize()}
    return {name: value for name, value in properties.items() if value is not None}


def _scale_settings(pool: Mapping[str, Any]) -> dict[str, Any]:
    if pool.get("enableAutoScale"):
        return {
            "autoScale": {
                "formula": pool.get("autoScaleFormula", ""),
                "evaluationInterval": pool.get("autoScaleEvaluationInterval", "PT15M"),
            }
        }
    return {
        "fixedScale": {
            "targetDedicatedNodes": pool.get("targetDedicatedNodes", 0),
            "targetLowPriorityNodes": pool.get("targetLowPriorityNodes", 0),
            "resizeTimeout": pool.get("resizeTimeout", "PT15M"),
        }
    }


def _resize_status(pool: Mapping[str, Any]) -> dict[str, Any]:
    status: dict[str, Any] = {
        "targetDedicatedNodes": pool.get("targetDedicatedNodes", 0),
        "targetLowPriorityNodes": pool.get("targetLowPriorityNodes", 0),
        "nodeDeallocationOption": "Requeue",
        "resizeTimeout": pool.get("resizeTimeout", "PT15M"),
        "startTime": pool.get("allocationStateTransitionTime"),
    }
    errors = pool.get("resizeErrors") or []
    if errors:
        status["errors"] = [{"code": error.get("code"), "message": error.get("message")} for error in errors]
    return status


def _autoscale_run(run: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"evaluationTime": run.get("timestamp"), "results": run.get("results")}
    error = run.get("error")
    if error:
        shown["error"] = {"code": error.get("code"), "message": error.get("message")}
    return shown
