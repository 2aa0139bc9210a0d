"""Pools in Resource Manager's body and in the Batch service's own: the same pool both ways."""

from __future__ import annotations

import pytest

from kyanite.batch.pool_spec import rest_from_arm
from kyanite.server.management.batch.documents import account_properties, pool_properties

FIXED = {
    "vmSize": "STANDARD_D2S_V3",
    "displayName": "Pool",
    "taskSlotsPerNode": 4,
    "interNodeCommunication": "Enabled",
    "deploymentConfiguration": {
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts"},
            "nodeAgentSkuId": "batch.node.ubuntu 22.04",
        }
    },
    "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 2, "targetLowPriorityNodes": 1, "resizeTimeout": "PT20M"}},
    "startTask": {"commandLine": "true", "waitForSuccess": True},
    "applicationPackages": [{"id": "tool"}],
    "metadata": [{"name": "a", "value": "b"}],
}
AUTO = {
    "vmSize": "STANDARD_D2S_V3",
    "scaleSettings": {"autoScale": {"formula": "$TargetDedicatedNodes=1;", "evaluationInterval": "PT10M"}},
}


@pytest.mark.parametrize("properties", [FIXED, AUTO], ids=["fixed", "autoscale"])
def test_what_was_given_comes_back(properties):
    shown = pool_properties({**rest_from_arm("p", properties), "state": "active", "allocationState": "steady"})
    assert {name: shown[name] for name in properties} == properties
    assert (shown["provisioningState"], shown["allocationState"]) == ("Succeeded", "Steady")


def test_states_errors_and_runs_get_their_names_here():
    failed = {"state": "deleting", "allocationState": "resizing", "resizeErrors": [{"code": "A", "message": "b"}]}
    shown = pool_properties({**rest_from_arm("p", FIXED), **failed})
    assert (shown["provisioningState"], shown["allocationState"]) == ("Deleting", "Resizing")
    assert shown["resizeOperationStatus"]["errors"] == [{"code": "A", "message": "b"}]
    run = {"timestamp": "2026-01-01T00:00:00Z", "results": "$a=1", "error": {"code": "C", "message": "d", "values": []}}
    shown = pool_properties({**rest_from_arm("p", AUTO), "autoScaleRun": run})
    assert shown["autoScaleRun"] == {
        "evaluationTime": "2026-01-01T00:00:00Z",
        "results": "$a=1",
        "error": {"code": "C", "message": "d"},
    }
    assert "resizeOperationStatus" not in shown


def test_a_pool_is_packed_or_spread_in_either_spelling():
    rest = rest_from_arm("p", {**FIXED, "taskSchedulingPolicy": {"nodeFillType": "Pack"}})
    rest["taskSchedulingPolicy"] = {"nodeFillType": "pack"}
    assert pool_properties(rest)["taskSchedulingPolicy"] == {"nodeFillType": "Pack"}


def test_an_account_names_its_endpoint_without_a_scheme_and_its_storage():
    storage = {"autoStorage": {"storageAccountId": "/subscriptions/s/x"}}
    shown = account_properties(storage, "localhost:8443/batch/acct")
    assert shown["accountEndpoint"] == "localhost:8443/batch/acct"
    assert shown["autoStorage"]["storageAccountId"] == "/subscriptions/s/x"
    assert "autoStorage" not in account_properties({}, "x")
