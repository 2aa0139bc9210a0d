"""Why is this task not running? A waiting task never hangs without an explanation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from kyanite.batch.model import Node, NodeState, Pool, Task, TaskState
from kyanite.batch.nodes import describe_failure
from kyanite.errors import BatchError


@dataclass(frozen=True)
class Waiting:
    """The reason a task waits; `hopeless` when it would wait until somebody changes the pool."""

    code: str
    message: str
    hopeless: bool
    cure: str | None = None

    def error(self, task: Task) -> BatchError:
        """The reason as an error."""
        return BatchError(self.message, where=f"task {task.id}", cure=self.cure, code=self.code)


def near(name: str, known: Iterable[str]) -> str:
    """A sentence naming what was perhaps meant, or what there is."""
    names = sorted(known)
    folded = {item.casefold(): item for item in names}
    close = [folded[item] for item in get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.6)]
    if close:
        return f"Did you mean {' or '.join(repr(item) for item in close)}?"
    return f"There are: {', '.join(names)}." if names else "There are none yet."


def pool_missing(pool_id: str, account: str, known: Iterable[str]) -> BatchError:
    """The error for a pool that does not exist."""
    return BatchError(
        f"There is no pool '{pool_id}' in Batch account '{account}'.", cure=near(pool_id, known), code="PoolNotFound"
    )


def why_waiting(task: Task, pool: Pool | None, nodes: list[Node], known_pools: Iterable[str]) -> Waiting | None:
    """Why a task waits; None when it does not."""
    if task.state is not TaskState.ACTIVE:
        return None
    if pool is None:
        error = pool_missing(task.pool_id, task.account, known_pools)
        return Waiting(error.error_code, error.message, True, error.cure)
    staying = [node for node in nodes if node.state is not NodeState.LEAVING_POOL]
    if not staying:
        message = f"Pool '{pool.id}' has no nodes, so the task cannot run."
        return Waiting("PoolHasNoNodes", message, True, "Give the pool at least one dedicated node and deploy again.")
    if task.spec.required_slots > pool.spec.slots_per_node:
        message = (
            f"The task needs {task.spec.required_slots} slots, a node of '{pool.id}' has {pool.spec.slots_per_node}."
        )
        return Waiting("TaskRequiresTooManySlots", message, True)
    failed = [node for node in staying if node.state is NodeState.START_TASK_FAILED]
    if len(failed) == len(staying):
        info = failed[0].start_task
        reason = describe_failure(info) if info else "their preparation failed"
        count = "its node" if len(failed) == 1 else f"each of its {len(failed)} nodes"
        message = f"Pool '{pool.id}' cannot run tasks: on {count} {reason}"
        return Waiting("StartTaskFailed", message, True, "Correct the pool's start task and prepare the pool again.")
    ready = [node for node in staying if node.state in (NodeState.IDLE, NodeState.RUNNING)]
    if not ready:
        return Waiting("NodesNotReady", f"The nodes of pool '{pool.id}' are being prepared.", False)
    if not any(node.total_slots - node.used_slots >= task.spec.required_slots for node in ready):
        return Waiting("NoFreeSlot", f"All slots of pool '{pool.id}' are in use.", False)
    return Waiting("Scheduling", "The task is about to start.", False)
