"""Pool bodies -> PoolSpec: the ARM resource's `properties` and the Batch REST body. Unknown properties are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kyanite.batch.command_line import parse_command_line
from kyanite.batch.model import PoolSpec, ResourceFile, StartTask, check_identifier
from kyanite.errors import BatchError, UnsupportedError

_SLOTS_PER_NODE = 256


def pool_from_arm(pool_id: str, properties: Mapping[str, Any]) -> PoolSpec:
    """Read the `properties` of a Microsoft.Batch/batchAccounts/pools resource."""
    scale = properties.get("scaleSettings") or {}
    if scale.get("autoScale"):
        raise _no_autoscale(pool_id)
    machine = (properties.get("deploymentConfiguration") or {}).get("virtualMachineConfiguration") or {}
    return _pool(pool_id, properties, scale.get("fixedScale") or {}, machine.get("nodeAgentSkuId"))


def pool_from_rest(body: Mapping[str, Any]) -> PoolSpec:
    """Read the body of the Batch service's `POST /pools`."""
    pool_id = str(body.get("id", ""))
    if body.get("enableAutoScale"):
        raise _no_autoscale(pool_id)
    machine = body.get("virtualMachineConfiguration") or {}
    return _pool(pool_id, body, body, machine.get("nodeAgentSKUId"))


def _pool(pool_id: str, body: Mapping[str, Any], scale: Mapping[str, Any], agent: str | None) -> PoolSpec:
    where = f"pool {pool_id}"
    slots = _whole(body.get("taskSlotsPerNode", body.get("maxTasksPerNode", 1)), "taskSlotsPerNode", where)
    dedicated = _whole(scale.get("targetDedicatedNodes", 0), "targetDedicatedNodes", where)
    spot = _whole(scale.get("targetLowPriorityNodes", 0), "targetLowPriorityNodes", where)
    fill = str((body.get("taskSchedulingPolicy") or {}).get("nodeFillType", "spread")).lower()
    start = body.get("startTask")
    if not 1 <= slots <= _SLOTS_PER_NODE:
        raise _wrong(f"taskSlotsPerNode is {slots}; it must be 1 to {_SLOTS_PER_NODE}.", where)
    if fill not in ("spread", "pack"):
        raise _wrong(f"nodeFillType is '{fill}'; it must be Spread or Pack.", where)
    return PoolSpec(
        id=check_identifier("pool", pool_id),
        target_nodes=dedicated + spot,
        slots_per_node=slots,
        pack=fill == "pack",
        vm_size=str(body.get("vmSize", "local")),
        display_name=body.get("displayName"),
        start_task=start_task(start, where) if start else None,
        windows="windows" in (agent or "").lower(),
        document=dict(body),
    )


def start_task(body: Mapping[str, Any], where: str) -> StartTask:
    """Read a `startTask` body; its command line must be one that can be split."""
    command_line = str(body.get("commandLine", ""))
    parse_command_line(command_line)
    retries = _whole(body.get("maxTaskRetryCount", 0), "maxTaskRetryCount", where, least=-1)
    return StartTask(
        command_line,
        tuple(resource_file(item, where) for item in body.get("resourceFiles") or ()),
        environment_settings(body.get("environmentSettings")),
        retries,
        _truth(body.get("waitForSuccess", True)),
    )


def resource_file(body: Mapping[str, Any], where: str) -> ResourceFile:
    """Read one `resourceFiles` item; only the `httpUrl` kind can be staged."""
    if not body.get("httpUrl"):
        raise UnsupportedError(
            "A resource file without httpUrl (whole containers) cannot be staged.",
            where=where,
            cure="Supported: {httpUrl, filePath}; name each file.",
        )
    mode = str(body.get("fileMode") or "0770")
    if not re.fullmatch(r"[0-7]{3,5}", mode):
        raise _wrong(f"fileMode '{mode}' is not an octal number.", where)
    path = body.get("filePath") or str(body["httpUrl"]).split("?")[0].rsplit("/", 1)[-1]
    return ResourceFile(str(path), str(body["httpUrl"]), mode=int(mode, 8) & 0o777)


def environment_settings(settings: Any) -> dict[str, str]:
    """Read `[{name, value}]`."""
    return {str(item["name"]): str(item.get("value") or "") for item in settings or ()}


def _whole(value: Any, name: str, where: str, least: int = 0) -> int:
    try:
        number = int(value if value is not None else 0)
    except (TypeError, ValueError) as error:
        raise _wrong(f"{name} is not a whole number.", where) from error
    if number < least:
        raise _wrong(f"{name} is {number}; it must be at least {least}.", where)
    return number


def _truth(value: Any) -> bool:
    return value.strip().lower() == "true" if isinstance(value, str) else bool(value)


def _wrong(message: str, where: str) -> BatchError:
    return BatchError(message, where=where, code="InvalidPropertyValue")


def _no_autoscale(pool_id: str) -> UnsupportedError:
    return UnsupportedError(
        "Autoscale formulas are not evaluated.", where=f"pool {pool_id}", cure="Supported: scaleSettings.fixedScale."
    )
