"""Pools by way of Resource Manager: the same pools as the data plane has, in another body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kyanite import limits
from kyanite.batch import wire
from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.batch.model import Pool
from kyanite.batch.pool_spec import rest_from_arm
from kyanite.errors import BatchError
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.batch.calls import account_id, account_of, blocking, service
from kyanite.server.management.batch.documents import NAMESPACE, pool_properties

# what a pool that exists may get by PUT and PATCH here; its size goes the way of a resize
_UPDATABLE = ("startTask", "metadata", "applicationPackageReferences")


@blocking
def create(call: ArmCall) -> Response:
    """Pool_Create: makes the pool, or changes the one that exists."""
    account = account_of(call).name
    document = rest_from_arm(call.names["pool"], _properties(call))
    existing = _existing(call, account)
    if existing is None:
        if _conditions(call).if_match is not None:
            raise ArmError("There is no such pool.", code="ConditionNotMet", status=412)
        pool = service(call).add_pool(account, document)
    else:
        _refuse_existing(call)
        conditions = _conditions(call)
        changed = {name: document.get(name) or ([] if name != "startTask" else None) for name in _UPDATABLE}
        pool = service(call).update_pool(
            account,
            existing.id,
            {name: value for name, value in changed.items() if value is not None},
            conditions=conditions,
        )
        pool = _scale(call, account, pool, _properties(call).get("scaleSettings"))
    return _answer(call, pool)


@blocking
def update(call: ArmCall) -> Response:
    """Pool_Update: what is not given stays."""
    account = account_of(call).name
    pool = service(call).get_pool(account, call.names["pool"])
    properties = _properties(call)
    document = rest_from_arm(pool.id, properties)
    given = {name: document[name] for name in _UPDATABLE if document.get(name) is not None}
    if given:
        pool = service(call).patch_pool(account, pool.id, given, conditions=_conditions(call))
    pool = _scale(call, account, pool, properties.get("scaleSettings"))
    return _answer(call, pool)


@blocking
def get(call: ArmCall) -> Response:
    """Pool_Get."""
    return _answer(call, service(call).get_pool(account_of(call).name, call.names["pool"]))


@blocking
def list_all(call: ArmCall) -> Response:
    """Pool_ListByBatchAccount."""
    account = account_of(call).name
    after = call.request.query.get("$skiptoken") or None
    text = call.request.query.get("maxresults")
    most = min(int(text), limits.BATCH_PAGE) if text.isascii() and text.isdigit() and int(text) else limits.BATCH_PAGE
    found: list[dict[str, Any]] = []
    last = ""
    for pool in service(call).list_pools(account, after=after):
        if len(found) == most:
            kept = {"maxresults": text} if text else {}
            return Response.json({"value": found, "nextLink": call.link(**kept, **{"$skiptoken": last})})
        found.append(_resource(call, pool))
        last = pool.id.casefold()
    return Response.json({"value": found})


@blocking
def delete(call: ArmCall) -> Response:
    """Pool_Delete: the pool goes on until its nodes are gone; 204 when there is none."""
    account = account_of(call).name
    if _existing(call, account) is None:
        return Response(204)
    service(call).delete_pool(account, call.names["pool"])
    return Response(200)


@blocking
def stop_resize(call: ArmCall) -> Response:
    """Pool_StopResize."""
    return _answer(call, service(call).stop_resize(account_of(call).name, call.names["pool"]))


@blocking
def disable_autoscale(call: ArmCall) -> Response:
    """Pool_DisableAutoScale."""
    return _answer(call, service(call).disable_autoscale(account_of(call).name, call.names["pool"]))


def _scale(call: ArmCall, account: str, pool: Pool, settings: Any) -> Pool:
    """Give a pool the size, or the formula, that its scaleSettings want."""
    if not isinstance(settings, Mapping):
        return pool
    before = wire.pool_json(pool, "")
    auto, fixed = settings.get("autoScale"), settings.get("fixedScale")
    if auto:
        body = {"autoScaleFormula": auto.get("formula"), "autoScaleEvaluationInterval": auto.get("evaluationInterval")}
        given = {name: value for name, value in body.items() if value is not None}
        if before.get("enableAutoScale") and all(before.get(name) == value for name, value in given.items()):
            return pool
        return service(call).enable_autoscale(account, pool.id, given)
    if not fixed:
        return pool
    if before.get("enableAutoScale"):
        pool = service(call).disable_autoscale(account, pool.id)
        before = wire.pool_json(pool, "")
    names = ("targetDedicatedNodes", "targetLowPriorityNodes", "resizeTimeout", "nodeDeallocationOption")
    body = {name: fixed[name] for name in names if fixed.get(name) is not None}
    targets = names[:2]
    if all(int(body.get(name, before.get(name, 0)) or 0) == before.get(name, 0) for name in targets):
        return pool
    return service(call).resize_pool(account, pool.id, body)


def _refuse_existing(call: ArmCall) -> None:
    if call.request.headers.get("if-none-match", "").strip() == "*":
        raise ArmError("A pool of that name exists.", code="ConditionNotMet", status=412)


def _conditions(call: ArmCall) -> Conditions:
    text = call.request.headers.get("if-match", "").strip()
    return Conditions(if_match=text.removeprefix("W/").strip('"')) if text else NO_CONDITIONS


def _properties(call: ArmCall) -> dict[str, Any]:
    properties = call.json.get("properties") or {}
    if not isinstance(properties, dict):
        raise ArmError("properties is no object.", code="InvalidRequestContent", status=400, target="properties")
    return properties


def _existing(call: ArmCall, account: str) -> Pool | None:
    try:
        return service(call).get_pool(account, call.names["pool"])
    except BatchError as error:
        if error.error_code != "PoolNotFound":
            raise
        return None


def _answer(call: ArmCall, pool: Pool) -> Response:
    resource = _resource(call, pool)
    return Response.json(resource, headers={"etag": resource["etag"]})


def _resource(call: ArmCall, pool: Pool) -> dict[str, Any]:
    run = service(call).autoscale_run(pool.account, pool.id) if pool.spec.formula is not None else None
    document = wire.pool_json(pool, "", run)
    return {
        "id": f"{account_id(call, pool.account)}/pools/{pool.id}",
        "name": pool.id,
        "type": f"{NAMESPACE}/batchAccounts/pools",
        "etag": f'W/"{document["eTag"]}"',
        "properties": pool_properties(document),
    }
