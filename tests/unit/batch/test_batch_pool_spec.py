from __future__ import annotations

import pytest

from kyanite.batch.model import ResourceFile
from kyanite.batch.pool_spec import pool_from_arm, pool_from_rest
from kyanite.errors import BatchError, UnsupportedError

ARM = {
    "displayName": "Pool Create in Explorer",
    "vmSize": "STANDARD_F2S_V2",
    "interNodeCommunication": "Disabled",
    "maxTasksPerNode": 1,
    "taskSchedulingPolicy": {"nodeFillType": "Spread"},
    "deploymentConfiguration": {
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "microsoft-dsvm"},
            "nodeAgentSkuId": "batch.node.windows amd64",
        }
    },
    "scaleSettings": {"fixedScale": {"targetDedicatedNodes": 1, "targetLowPriorityNodes": 0, "resizeTimeout": "PT15M"}},
    "startTask": {
        "commandLine": 'cmd /c "pip install pandas dask pyarrow"',
        "userIdentity": {"autoUser": {"scope": "Pool", "elevationLevel": "NonAdmin"}},
        "maxTaskRetryCount": 0,
        "waitForSuccess": True,
    },
}


def test_the_pool_of_an_arm_template():
    spec = pool_from_arm("delabadfpool1", ARM)
    assert (spec.id, spec.target_nodes, spec.slots_per_node, spec.pack) == ("delabadfpool1", 1, 1, False)
    assert (spec.windows, spec.vm_size, spec.display_name) == (True, "STANDARD_F2S_V2", "Pool Create in Explorer")
    assert spec.start_task.command_line == 'cmd /c "pip install pandas dask pyarrow"'
    assert (spec.start_task.wait_for_success, spec.start_task.max_retry_count) == (True, 0)
    assert spec.document == {
        "id": "delabadfpool1",
        "displayName": "Pool Create in Explorer",
        "vmSize": "STANDARD_F2S_V2",
        "maxTasksPerNode": 1,
        "taskSchedulingPolicy": {"nodeFillType": "Spread"},
        "startTask": ARM["startTask"],
        "targetDedicatedNodes": 1,
        "targetLowPriorityNodes": 0,
        "resizeTimeout": "PT15M",
        "virtualMachineConfiguration": {
            "imageReference": {"publisher": "microsoft-dsvm"},
            "nodeAgentSKUId": "batch.node.windows amd64",
        },
        "enableInterNodeCommunication": False,
    }


def test_an_arm_pool_with_autoscale():
    scale = {"autoScale": {"formula": "$TargetDedicatedNodes = 1;", "evaluationInterval": "PT5M"}}
    spec = pool_from_arm("p", {"scaleSettings": scale})
    assert (spec.formula, spec.interval, spec.target_nodes) == ("$TargetDedicatedNodes = 1;", 300.0, 0)
    assert spec.document["enableAutoScale"] is True


def test_the_pool_of_a_rest_body():
    spec = pool_from_rest(
        {
            "id": "p",
            "vmSize": "s",
            "targetDedicatedNodes": "2",
            "targetLowPriorityNodes": 1,
            "taskSlotsPerNode": 4,
            "taskSchedulingPolicy": {"nodeFillType": "pack"},
            "virtualMachineConfiguration": {"nodeAgentSKUId": "batch.node.ubuntu 22.04"},
            "startTask": {
                "commandLine": "true",
                "waitForSuccess": "false",
                "maxTaskRetryCount": -1,
                "environmentSettings": [{"name": "A", "value": "1"}],
                "resourceFiles": [{"httpUrl": "https://a.blob.core.windows.net/c/x.py?sig=1", "fileMode": "0755"}],
            },
            "someNewProperty": 1,
        }
    )
    assert (spec.target_nodes, spec.slots_per_node, spec.pack, spec.windows) == (3, 4, True, False)
    assert (spec.start_task.wait_for_success, spec.start_task.environment) == (False, {"A": "1"})
    url = "https://a.blob.core.windows.net/c/x.py?sig=1"
    assert spec.start_task.resource_files == (ResourceFile("x.py", url, mode=0o755),)
    assert spec.document["someNewProperty"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"taskSlotsPerNode": 0},
        {"taskSlotsPerNode": 257},
        {"taskSlotsPerNode": "many"},
        {"targetDedicatedNodes": -1},
        {"taskSchedulingPolicy": {"nodeFillType": "random"}},
        {"startTask": {"commandLine": " "}},
        {"startTask": {"commandLine": "true", "maxTaskRetryCount": -2}},
        {"startTask": {"commandLine": "true", "resourceFiles": [{"httpUrl": "u", "fileMode": "rwx"}]}},
        {"id": "a/b"},
    ],
)
def test_wrong_values_are_refused(change):
    with pytest.raises(BatchError):
        pool_from_rest({"id": "p", "vmSize": "s", "targetDedicatedNodes": 1} | change)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"enableAutoScale": True}, "MissingRequiredProperty"),
        ({"enableAutoScale": True, "autoScaleFormula": "x=1", "targetDedicatedNodes": 1}, "InvalidPropertyValue"),
        ({"autoScaleFormula": "x=1"}, "InvalidPropertyValue"),
        ({"targetDedicatedNodes": None}, "MissingRequiredProperty"),
        ({"vmSize": None}, "MissingRequiredProperty"),
        ({"resizeTimeout": "PT4M59S"}, "InvalidPropertyValue"),
        ({"metadata": [{"value": "x"}]}, "EmptyMetadataKey"),
        ({"userAccounts": [{"name": "u"}]}, "MissingRequiredProperty"),
        ({"userAccounts": [{"name": "u" * 21, "password": "p"}]}, "InvalidPropertyValue"),
        ({"mountConfiguration": [{"nfsMountConfiguration": {}}]}, "UnsupportedProperty"),
        ({"startTask": {"commandLine": "x", "containerSettings": {"imageName": "i"}}}, "UnsupportedProperty"),
        ({"startTask": {"commandLine": "x", "userIdentity": {"username": "u"}}}, "UnsupportedProperty"),
        ({"startTask": {"commandLine": "x", "resourceFiles": [{"filePath": "f"}]}}, "InvalidPropertyValue"),
        (
            {"startTask": {"commandLine": "x", "resourceFiles": [{"httpUrl": "u", "filePath": "../f"}]}},
            "InvalidPropertyValue",
        ),
        ({"applicationPackageReferences": [{"applicationId": "a"}] * 11}, "InvalidApplicationPackageReferences"),
    ],
)
def test_refusals_have_the_services_codes(change, code):
    with pytest.raises((BatchError, UnsupportedError)) as caught:
        pool_from_rest({"id": "p", "vmSize": "s", "targetDedicatedNodes": 1} | change)
    assert caught.value.error_code == code


def test_containers_of_blobs_are_resource_files():
    files = [
        {"storageContainerUrl": "https://a.blob.core.windows.net/c?sig=x", "blobPrefix": "in/", "filePath": "data"},
        {"autoStorageContainerName": "c"},
    ]
    spec = pool_from_rest(
        {"id": "p", "vmSize": "s", "targetDedicatedNodes": 0, "startTask": {"commandLine": "x", "resourceFiles": files}}
    )
    assert spec.start_task.resource_files == (
        ResourceFile("data", container_url="https://a.blob.core.windows.net/c?sig=x", blob_prefix="in/"),
        ResourceFile("", auto_container="c"),
    )
