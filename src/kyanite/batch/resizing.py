"""Changing a pool's number of nodes. Batch reference 2.2: `steady` > `resizing` > `steady`, or `stopping` on the way.

Nodes that come are there at once, in the state `creating`; nodes that go are marked and leave when nothing runs there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from kyanite import limits
from kyanite.batch.model import AllocationState, Failing, NodeState, Pool, PoolState
from kyanite.batch.store import NodeRow, Store, time_text

DEALLOCATIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")
_BUSY = (NodeState.RUNNING, NodeState.IDLE)


def change_size(
    store: Store,
    pool: Pool,
    dedicated: int,
    low_priority: int,
    option: str,
    now: datetime,
    *,
    timeout: float | None = None,
) -> Pool:
    """Begin to give the pool so many nodes of each kind, whatever it is doing now; the pool as it is afterwards.

    More than the quota is not an error: as many as it allows come, and `resizeErrors` says so.
    """
    with store.database.transaction():
        spec = replace(
            pool.spec,
            target_nodes=dedicated + low_priority,
            low_priority_nodes=low_priority,
            document=_with_targets(pool, dedicated, low_priority),
        )
        store.put_pool(pool.account, spec, now)
        errors = [
            *_fit(store, pool, True, dedicated, limits.NODES_PER_POOL, option, now),
            *_fit(store, pool, False, low_priority, limits.LOW_PRIORITY_NODES_PER_POOL, option, now),
        ]
        seconds = spec.resize_timeout if timeout is None else timeout
        changed = replace(
            pool,
            allocation=AllocationState.RESIZING,
            allocation_since=now,
            resize_by=now + timedelta(seconds=seconds),
            resize_errors=tuple(errors),
            deallocation=option,
        )
        store.move_pool(changed)
        return settle(store, _again(store, pool), now)


def _with_targets(pool: Pool, dedicated: int, low_priority: int) -> dict[str, object]:
    document = dict(pool.spec.document)
    if pool.spec.formula is None:
        document |= {"targetDedicatedNodes": dedicated, "targetLowPriorityNodes": low_priority}
    return document


def _fit(
    store: Store, pool: Pool, dedicated: bool, wanted: int, most: int, option: str, now: datetime
) -> list[Failing]:
    """Mark or add nodes of one kind; what stands in the way."""
    key = {"account": pool.account.casefold(), "pool": pool.id.casefold()}
    rows = [row for row in store.nodes(pool) if row.node.dedicated is dedicated]
    staying = [row for row in rows if not row.leaving]
    if len(staying) > wanted:
        for row in victims(staying)[: len(staying) - wanted]:
            leave(store, pool, row, option)
        return []
    for row in [row for row in rows if row.leaving][: wanted - len(staying)]:
        store.change("keep_node", leaving=0, id=row.node.id, **key)
        staying.append(row)
    number = store.rows("last_node_number", **key)[0]["number"]
    for _ in range(min(wanted, most) - len(staying)):
        number += 1
        name = f"tvm-{number + 1:04d}"
        store.change("add_node", number=number, id=name, at=time_text(now), dedicated=int(dedicated), **key)
    if wanted <= most:
        return []
    code = "AccountCoreQuotaReached" if dedicated else "AccountLowPriorityCoreQuotaReached"
    return [Failing(code, f"A pool of this workspace can have {most} such nodes, {wanted} were asked for.")]


def victims(rows: Sequence[NodeRow]) -> list[NodeRow]:
    """The nodes in the order in which they go: those that cannot run tasks, those that run fewest, the newest."""
    order = {row.node.id: place for place, row in enumerate(rows)}
    return sorted(rows, key=lambda row: (row.node.state in _BUSY, row.node.running_tasks, -order[row.node.id]))


def leave(store: Store, pool: Pool, row: NodeRow, option: str) -> None:
    """Mark a node as leaving; what runs there is stopped unless the option waits for it."""
    key = {"account": pool.account.casefold(), "pool": pool.id.casefold()}
    store.change("leave_node", id=row.node.id, option=option, **key)
    stop_tasks(store, pool, row.node.id, option)


def stop_tasks(store: Store, pool: Pool, node: str, option: str) -> None:
    """End what runs on a node, to run again (`requeue`) or for good (`terminate`); the other options wait for it."""
    if option not in ("requeue", "terminate"):
        return
    key = {"account": pool.account.casefold(), "pool": pool.id.casefold(), "node": node}
    store.change("stop_tasks_on_node", reason="Requeued" if option == "requeue" else "TaskEnded", **key)
    store.change("stop_attempts_on_node", **key)


def remove(store: Store, pool: Pool, nodes: Sequence[NodeRow], option: str, now: datetime, timeout: float) -> Pool:
    """Begin to remove these nodes; the targets go down by as many."""
    gone = [row for row in nodes if not row.leaving]
    dedicated = sum(row.node.dedicated for row in gone)
    with store.database.transaction():
        for row in gone:
            leave(store, pool, row, option)
        return change_size(
            store,
            pool,
            max(0, pool.spec.dedicated_nodes - dedicated),
            max(0, pool.spec.low_priority_nodes - (len(gone) - dedicated)),
            option,
            now,
            timeout=timeout,
        )


def stop(store: Store, pool: Pool, now: datetime) -> Pool:
    """Leave the pool as large as it is now."""
    stopping = replace(pool, allocation=AllocationState.STOPPING, allocation_since=now)
    error = Failing("ResizeStopped", "The resize was stopped before the pool had the size it was asked for.")
    store.move_pool(replace(stopping, resize_errors=(*pool.resize_errors, error)))
    return settle(store, _again(store, pool), now)


def settle(store: Store, pool: Pool, now: datetime) -> Pool:
    """The pool, steady again if its resize is over: done, out of time, or stopped."""
    if pool.allocation is AllocationState.STEADY:
        return pool
    rows = store.nodes(pool)
    leaving = [row for row in rows if row.leaving]
    late = pool.resize_by is not None and now >= pool.resize_by
    stopped = pool.allocation is AllocationState.STOPPING
    if pool.state is PoolState.DELETING or (leaving and not late and not stopped):
        return pool
    errors = pool.resize_errors
    if leaving:
        store.change("keep_leaving_nodes", account=pool.account.casefold(), pool=pool.id.casefold())
        if not stopped:
            text = f"The resize took longer than its limit; {len(leaving)} nodes still run tasks."
            errors = (*errors, Failing("AllocationTimedOut", text))
    steady = replace(
        pool, allocation=AllocationState.STEADY, allocation_since=now, resize_by=None, resize_errors=errors
    )
    store.move_pool(steady)
    return _again(store, pool)


def _again(store: Store, pool: Pool) -> Pool:
    found = store.pool(pool.account, pool.id)
    return found[0] if found else pool
