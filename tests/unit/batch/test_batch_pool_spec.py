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
    assert spec.document == ARM


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
        pool_from_rest({"id": "p", "targetDedicatedNodes": 1} | change)


def test_what_cannot_be_done_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="Autoscale"):
        pool_from_arm("p", {"scaleSettings": {"autoScale": {"formula": "x"}}})
    with pytest.raises(UnsupportedError, match="Autoscale"):
        pool_from_rest({"id": "p", "enableAutoScale": True})
    body = {"id": "p", "startTask": {"commandLine": "true", "resourceFiles": [{"storageContainerUrl": "u"}]}}
    with pytest.raises(UnsupportedError, match="resource file"):
        pool_from_rest(body)
