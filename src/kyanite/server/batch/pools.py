"""The operations on pools."""

from __future__ import annotations

from typing import Any

from kyanite.batch import wire
from kyanite.batch.model import Pool
from kyanite.server.batch.options import conditions_of, one, page
from kyanite.server.batch.protocol import Call, Reply


def add(call: Call) -> Reply:
    """Pool_Add."""
    return _changed(call, call.service.add_pool(call.account, call.body))


def list_all(call: Call) -> Reply:
    """Pool_List."""
    return page(
        call,
        "pools",
        lambda after: call.service.list_pools(call.account, after=after),
        lambda pool: _document(call, pool),
        lambda pool: pool.id.casefold(),
        "pools",
    )


def get(call: Call) -> Reply:
    """Pool_Get and Pool_Exists."""
    pool = call.service.get_pool(*_names(call))
    return one(call, _document(call, pool), "pools")


def patch(call: Call) -> Reply:
    """Pool_Patch."""
    pool = call.service.patch_pool(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, pool)


def replace(call: Call) -> Reply:
    """Pool_UpdateProperties."""
    pool = call.service.update_pool(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, pool)


def delete(call: Call) -> Reply:
    """Pool_Delete."""
    call.service.delete_pool(*_names(call), conditions=conditions_of(call))
    return Reply()


def resize(call: Call) -> Reply:
    """Pool_Resize."""
    pool = call.service.resize_pool(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, pool)


def stop_resize(call: Call) -> Reply:
    """Pool_StopResize."""
    pool = call.service.stop_resize(*_names(call), conditions=conditions_of(call))
    return _changed(call, pool)


def remove_nodes(call: Call) -> Reply:
    """Pool_RemoveNodes."""
    pool = call.service.remove_nodes(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, pool)


def enable_autoscale(call: Call) -> Reply:
    """Pool_EnableAutoScale."""
    pool = call.service.enable_autoscale(*_names(call), call.body, conditions=conditions_of(call))
    return _changed(call, pool)


def disable_autoscale(call: Call) -> Reply:
    """Pool_DisableAutoScale."""
    return _changed(call, call.service.disable_autoscale(*_names(call)))


def evaluate_autoscale(call: Call) -> Reply:
    """Pool_EvaluateAutoScale: what the formula gives now, without effect."""
    run = call.service.evaluate_autoscale(*_names(call), call.body)
    return Reply(run, {}, kind="Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun")


def _document(call: Call, pool: Pool) -> dict[str, Any]:
    run = call.service.autoscale_run(call.account, pool.id) if pool.spec.formula is not None else None
    return wire.pool_json(pool, call.base, run)


def _names(call: Call) -> tuple[str, str]:
    return call.account, call.parameters["poolId"]


def _changed(call: Call, pool: Pool) -> Reply:
    return Reply(None, wire.pool_json(pool, call.base))
