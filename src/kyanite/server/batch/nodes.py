"""The operations on compute nodes."""

from __future__ import annotations

from typing import Any

from kyanite.batch import wire
from kyanite.batch.model import Node
from kyanite.errors import BatchError
from kyanite.server.batch.options import one, page
from kyanite.server.batch.protocol import Call, Reply


def list_all(call: Call) -> Reply:
    """ComputeNode_List."""
    pool = call.parameters["poolId"]
    return page(
        call,
        "nodes",
        lambda after: call.service.list_nodes(call.account, pool, after=after),
        lambda node: _document(call, node),
        lambda node: node.id.casefold(),
        "nodes",
    )


def get(call: Call) -> Reply:
    """ComputeNode_Get."""
    return one(call, _document(call, _node(call)), "nodes")


def reboot(call: Call) -> Reply:
    """ComputeNode_Reboot."""
    call.service.reboot_node(*_names(call), _option(call, "nodeRebootOption"))
    return _done(call)


def reimage(call: Call) -> Reply:
    """ComputeNode_Reimage."""
    call.service.reimage_node(*_names(call), _option(call, "nodeReimageOption"))
    return _done(call)


def disable_scheduling(call: Call) -> Reply:
    """ComputeNode_DisableScheduling."""
    call.service.disable_scheduling(*_names(call), _option(call, "nodeDisableSchedulingOption"))
    return _done(call)


def enable_scheduling(call: Call) -> Reply:
    """ComputeNode_EnableScheduling."""
    call.service.enable_scheduling(*_names(call))
    return _done(call)


def list_extensions(call: Call) -> Reply:
    """ComputeNodeExtension_List: a local node has none."""
    _node(call)
    return page(call, "extensions", lambda after: (), dict, str)


def get_extension(call: Call) -> Reply:
    """ComputeNodeExtension_Get: a local node has none."""
    _node(call)
    raise BatchError("The specified extension does not exist.", code="ResourceNotFound")


def _document(call: Call, node: Node) -> dict[str, Any]:
    recent = call.service.recent_tasks(call.account, node.pool_id, node.id)
    return wire.node_json(node, call.base, [wire.recent_task_json(row, call.base) for row in recent])


def _node(call: Call) -> Node:
    return call.service.get_node(*_names(call))


def _names(call: Call) -> tuple[str, str, str]:
    return call.account, call.parameters["poolId"], call.parameters["nodeId"]


def _option(call: Call, name: str) -> str:
    return str(call.body.get(name) or "requeue").lower()


def _done(call: Call) -> Reply:
    return Reply(None, {"url": call.url("pools", call.parameters["poolId"], "nodes", call.parameters["nodeId"])})
