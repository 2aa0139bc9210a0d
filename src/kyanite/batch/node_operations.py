"""The verbs on nodes: reboot, reimage, disable and enable scheduling. Batch reference section 3."""

from __future__ import annotations

from kyanite.batch.codes import refusal, wrong_value
from kyanite.batch.model import NodeState, Pool
from kyanite.batch.resizing import stop_tasks
from kyanite.batch.scheduler import Scheduler
from kyanite.batch.store import NodeRow, Store

REBOOT_OPTIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")
DISABLE_OPTIONS = ("requeue", "terminate", "taskcompletion")
_RESTARTABLE = (NodeState.IDLE, NodeState.RUNNING, NodeState.OFFLINE, NodeState.START_TASK_FAILED)


def reboot_node(store: Store, scheduler: Scheduler, pool: Pool, node_id: str, option: str = "requeue") -> None:
    """Begin to restart a node; what runs there ends as `option` says, then its start task runs again."""
    _restart(store, scheduler, pool, node_id, "reboot", option)


def reimage_node(store: Store, scheduler: Scheduler, pool: Pool, node_id: str, option: str = "requeue") -> None:
    """The same, and the node's files go."""
    _restart(store, scheduler, pool, node_id, "reimage", option)


def _restart(store: Store, scheduler: Scheduler, pool: Pool, node_id: str, wanted: str, option: str) -> None:
    option = _chosen("nodeRebootOption" if wanted == "reboot" else "nodeReimageOption", option, REBOOT_OPTIONS)
    with store.database.transaction():
        row = _found(store, pool, node_id)
        if row.wanted is not None or row.node.state in (NodeState.REBOOTING, NodeState.REIMAGING):
            raise refusal("NodeBeingRebooted", where=f"node {row.node.id}")
        if row.leaving or row.node.state is NodeState.UNUSABLE:
            raise refusal("NodeStateUnusable", f"The node is {row.node.state}.", where=f"node {row.node.id}")
        if row.node.state not in _RESTARTABLE:
            raise refusal("NodeNotReady", f"The node is {row.node.state}.", where=f"node {row.node.id}")
        store.change("want_of_node", wanted=wanted, option=option, **_key(pool, row))
        stop_tasks(store, pool, row.node.id, option)
    scheduler.notify()


def disable_scheduling(store: Store, scheduler: Scheduler, pool: Pool, node_id: str, option: str = "requeue") -> None:
    """Give a node no further tasks; those it runs end as `option` says."""
    option = _chosen("nodeDisableSchedulingOption", option, DISABLE_OPTIONS)
    _set_scheduling(store, pool, node_id, "disabled", option)
    scheduler.notify()


def enable_scheduling(store: Store, scheduler: Scheduler, pool: Pool, node_id: str) -> None:
    """Give a node tasks again."""
    _set_scheduling(store, pool, node_id, "enabled", None)
    scheduler.notify()


def _set_scheduling(store: Store, pool: Pool, node_id: str, scheduling: str, option: str | None) -> None:
    with store.database.transaction():
        row = _found(store, pool, node_id)
        if row.node.scheduling == (scheduling == "enabled"):
            reason = f"Scheduling is {scheduling} on the node already."
            raise refusal("NodeAlreadyInTargetSchedulingState", reason, where=f"node {row.node.id}")
        store.change("set_scheduling", scheduling=scheduling, **_key(pool, row))
        if option is not None:
            stop_tasks(store, pool, row.node.id, option)


def _chosen(name: str, option: str, known: tuple[str, ...]) -> str:
    folded = option.lower()
    if folded not in known:
        raise wrong_value(name, option, f"It must be one of {', '.join(known)}.")
    return folded


def _found(store: Store, pool: Pool, node_id: str) -> NodeRow:
    for row in store.nodes(pool):
        if row.node.id.casefold() == node_id.casefold():
            return row
    raise refusal("NodeNotFound", f"The pool has no node '{node_id}'.", where=f"pool {pool.id}")


def _key(pool: Pool, row: NodeRow) -> dict[str, str]:
    return {"account": pool.account.casefold(), "pool": pool.id.casefold(), "id": row.node.id}
