"""Why is this task not running? A waiting task never hangs without an explanation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from kyanite.batch.model import Job, JobState, Node, NodeState, Pool, PoolState, Task, TaskState
from kyanite.batch.nodes import describe_failure
from kyanite.errors import BatchError


@dataclass(frozen=True)
class Waiting:
    """A reason why a task waits; `hopeless` when it would wait until somebody changes something."""

    code: str
    message: str
    hopeless: bool
    cure: str | None = None

    def to_json(self) -> dict[str, object]:
        """For tools: code, message, whether it passes by itself, and what to do."""
        body = {"code": self.code, "message": self.message, "cure": self.cure, "passes": not self.hopeless}
        return {name: value for name, value in body.items() if value is not None}

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


@dataclass(frozen=True)
class Situation:
    """A task and what it waits in. `unmet` are (id, state or None when there is none) of tasks it still waits for.

    `missing_of_ranges` counts those of its ranges, `running` the job's tasks on nodes, `ahead` the waiting tasks that
    go first; `holders` names who has the slots.
    """

    task: Task
    job: Job
    pool: Pool | None
    nodes: Sequence[Node] = ()
    known_pools: Sequence[str] = ()
    unmet: Sequence[tuple[str, str | None]] = ()
    missing_of_ranges: int = 0
    running: int = 0
    ahead: int = 0
    holders: Sequence[str] = ()
    preparation_failed: Mapping[str, str] = field(default_factory=dict)


def explain(at: Situation) -> list[Waiting]:
    """Every reason why a task is not running, what stands most in the way first; empty when it runs or is done."""
    task, job = at.task, at.job
    if task.state is TaskState.PREPARING:
        message = f"The job preparation task of '{job.id}' runs on node {task.node_id}; the task starts after it."
        return [Waiting("JobPreparationRunning", message, False)]
    if task.state is not TaskState.ACTIVE:
        return []
    reasons = [*_of_job(at), *_of_dependencies(at)]
    if at.pool is None:
        error = pool_missing(task.pool_id, task.account, at.known_pools)
        return [*reasons, Waiting(error.error_code, error.message, True, error.cure)]
    reasons += _of_pool(at, at.pool)
    staying = [node for node in at.nodes if node.state is not NodeState.LEAVING_POOL]
    if staying:
        reasons += _of_nodes(at, at.pool, staying)
    return reasons or [Waiting("Scheduling", "The task is about to start.", False)]


def _of_job(at: Situation) -> list[Waiting]:
    job = at.job
    found = []
    if job.state in (JobState.DISABLED, JobState.DISABLING):
        message = f"Job '{job.id}' is {job.state}; none of its tasks start."
        found.append(Waiting("JobDisabled", message, False, "Enable the job."))
    elif job.state in (JobState.TERMINATING, JobState.COMPLETED, JobState.DELETING):
        why = f" ({job.terminate_reason})" if job.terminate_reason else ""
        message = f"Job '{job.id}' is {job.state}{why}; tasks that had not started by then never will."
        found.append(Waiting("JobNotActive", message, True, "Add the task to another job."))
    if job.max_parallel_tasks >= 0 and at.running >= job.max_parallel_tasks:
        message = f"Job '{job.id}' runs {at.running} tasks, as many as its maxParallelTasks allows."
        found.append(Waiting("MaxParallelTasks", message, False, "Wait, or raise the job's maxParallelTasks."))
    if job.scheduling_error is not None:
        found.append(Waiting(job.scheduling_error.code, job.scheduling_error.message, True))
    return found


def _of_dependencies(at: Situation) -> list[Waiting]:
    found = []
    for name, state in at.unmet:
        if state == TaskState.COMPLETED.value:
            message = f"The task depends on '{name}', which failed and blocks it."
            cure = f"Reactivate '{name}', or give it exit conditions whose dependencyAction is satisfy."
            found.append(Waiting("DependencyBlocked", message, True, cure))
        elif state is None:
            message = f"The task depends on '{name}', which is not in the job."
            found.append(Waiting("DependencyMissing", message, False, f"Add '{name}' to the job."))
        else:
            message = f"The task depends on '{name}', which is {state}."
            found.append(Waiting("DependencyWaiting", message, False))
    if at.missing_of_ranges:
        message = f"The task waits for {at.missing_of_ranges} more tasks of its taskIdRanges to succeed."
        found.append(Waiting("DependencyWaiting", message, False))
    return found


def _of_pool(at: Situation, pool: Pool) -> list[Waiting]:
    found = []
    if pool.state is PoolState.DELETING:
        message = f"Pool '{pool.id}' is being deleted."
        found.append(Waiting("PoolBeingDeleted", message, True, "Make it again, or use another pool."))
    for error in pool.resize_errors:
        found.append(Waiting(error.code, f"The last resize of pool '{pool.id}' failed: {error.message}", False))
    if not [node for node in at.nodes if node.state is not NodeState.LEAVING_POOL]:
        message = f"Pool '{pool.id}' has no nodes, so the task cannot run."
        if pool.spec.formula is not None:
            cure = "Wait for the next evaluation of its autoscale formula, or change the formula."
            return [*found, Waiting("PoolHasNoNodes", message, False, cure)]
        cure = "Give the pool at least one dedicated node and deploy again, or resize it."
        return [*found, Waiting("PoolHasNoNodes", message, True, cure)]
    slots = at.task.spec.required_slots
    if slots > pool.spec.slots_per_node:
        message = f"The task needs {slots} slots, a node of '{pool.id}' has {pool.spec.slots_per_node}."
        cure = "Ask for fewer requiredSlots, or use a pool with a larger taskSlotsPerNode."
        found.append(Waiting("TaskRequiresTooManySlots", message, True, cure))
    return found


def _of_nodes(at: Situation, pool: Pool, staying: Sequence[Node]) -> list[Waiting]:
    failed = [node for node in staying if node.state is NodeState.START_TASK_FAILED]
    if len(failed) == len(staying):
        info = failed[0].start_task
        reason = describe_failure(info) if info else "their preparation failed"
        count = "its node" if len(failed) == 1 else f"each of its {len(failed)} nodes"
        message = f"Pool '{pool.id}' cannot run tasks: on {count} {reason}"
        cure = "Correct the pool's start task and prepare the pool again."
        return [Waiting("StartTaskFailed", message, True, cure)]
    ready = [node for node in staying if node.state in (NodeState.IDLE, NodeState.RUNNING, NodeState.OFFLINE)]
    if not ready:
        return [_no_node_ready(pool, staying)]
    scheduling = [node for node in ready if node.scheduling]
    if not scheduling:
        message = f"Scheduling is disabled on every node of pool '{pool.id}'."
        return [Waiting("NodesDisabled", message, False, "Enable scheduling on a node.")]
    usable = [node for node in scheduling if node.id not in at.preparation_failed]
    if not usable:
        why = next(iter(at.preparation_failed.values()))
        message = f"The job preparation task failed on every node: {why}"
        return [Waiting("JobPreparationFailed", message, True, "Correct it in a new job; see its files on the node.")]
    wanted = at.task.spec.required_slots
    if wanted <= pool.spec.slots_per_node and not any(node.total_slots - node.used_slots >= wanted for node in usable):
        by = f" by {', '.join(at.holders[:5])}" if at.holders else ""
        more = f" and {len(at.holders) - 5} more" if len(at.holders) > 5 else ""
        queue = f" {at.ahead} tasks wait before it." if at.ahead else ""
        message = f"All slots of pool '{pool.id}' are in use{by}{more}.{queue}"
        return [Waiting("NoFreeSlot", message, False, "Wait, raise the job's priority, or resize the pool.")]
    return []


def _no_node_ready(pool: Pool, staying: Sequence[Node]) -> Waiting:
    states = Counter(node.state.value for node in staying)
    listed = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    troubled = next((node.errors[0].message for node in staying if node.errors), None)
    reason = f" {troubled}" if troubled else ""
    return Waiting("NodesNotReady", f"The nodes of pool '{pool.id}' are not ready yet: {listed}.{reason}", False)
