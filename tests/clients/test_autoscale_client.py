"""Autoscale by the official client: enabled with the pool, tried, refused, changed too often, disabled."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import HttpResponseError

from batch_server import ACCOUNT, batch_server


@pytest.fixture
def client(tmp_path) -> Iterator[BatchClient]:
    with batch_server(tmp_path / "home") as server:
        yield BatchClient(server.url, AzureNamedKeyCredential(ACCOUNT, server.key))


def test_autoscale_over_the_wire(client: BatchClient) -> None:
    formula = "$TargetDedicatedNodes = 0; x = $TaskSlotsPerNode;"
    client.create_pool(
        models.BatchPoolCreateOptions(id="p", vm_size="local", enable_auto_scale=True, auto_scale_formula=formula)
    )
    end = time.monotonic() + 20
    while (pool := client.get_pool("p")).auto_scale_run is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert pool.enable_auto_scale and pool.auto_scale_formula == formula
    assert pool.auto_scale_run.results == (
        "$TargetDedicatedNodes=0;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;x=1"
    )
    tried = "$TargetDedicatedNodes = avg($PendingTasks.GetSample(TimeInterval_Hour, 99));"
    run = client.evaluate_pool_auto_scale("p", models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=tried))
    assert run.error.code == "InsufficientSampleData"
    with pytest.raises(HttpResponseError) as caught:
        client.enable_pool_auto_scale("p", models.BatchPoolEnableAutoScaleOptions(auto_scale_formula="$Target =="))
    assert caught.value.status_code == 400
    assert "(AutoScalingFormulaSyntaxError) Line 1, Col 11" in str(caught.value)
    client.enable_pool_auto_scale("p", models.BatchPoolEnableAutoScaleOptions(auto_scale_formula=formula))
    with pytest.raises(HttpResponseError) as caught:
        client.enable_pool_auto_scale("p", models.BatchPoolEnableAutoScaleOptions(auto_scale_formula=formula))
    assert "AutoScaleTooManyRequestsToEnable" in str(caught.value)
    with pytest.raises(HttpResponseError):
        client.begin_resize_pool("p", models.BatchPoolResizeOptions(target_dedicated_nodes=1))
    client.disable_pool_auto_scale("p")
    assert not client.get_pool("p").enable_auto_scale
    with pytest.raises(HttpResponseError):
        client.evaluate_pool_auto_scale("p", models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=formula))
