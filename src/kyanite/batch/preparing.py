"""Following the preparation of a pool's nodes, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kyanite import limits
from kyanite.batch.files import read_range
from kyanite.batch.model import Node, NodeState, Pool
from kyanite.batch.nodes import describe_failure
from kyanite.batch.scheduler import Scheduler
from kyanite.errors import BatchError

_SETTLED = (NodeState.IDLE, NodeState.RUNNING, NodeState.START_TASK_FAILED, NodeState.UNUSABLE, NodeState.LEAVING_POOL)
_USABLE = (NodeState.IDLE, NodeState.RUNNING)


class _Output:
    """New lines of one node's start task."""

    def __init__(self) -> None:
        self._offset = 0

    def lines(self, node: Node) -> list[str]:
        try:
            text = read_range(Path(node.folder), ("startup", "stdout.txt"), self._offset, None)
        except (BatchError, FileNotFoundError):
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [line.decode(errors="replace") for line in whole.splitlines() if line.strip()]


def watch_preparation(
    pool: Pool,
    look: Callable[[], list[Node]],
    pump: Callable[[], object],
    scheduler: Scheduler,
    say: Callable[[str], None],
    cancelled: Callable[[], bool],
) -> list[Node]:
    """Pump until every node is ready or has failed; StartTaskFailed when none is usable."""
    states: dict[str, NodeState] = {}
    outputs: dict[str, _Output] = {}
    if not look():
        say(f"Pool {pool.id} has no nodes: tasks on it cannot run until it has one.")
    while True:
        ticks = scheduler.ticks
        moved = pump()
        nodes = look()
        for node in nodes:
            if node.state is NodeState.WAITING_FOR_START_TASK:
                for line in outputs.setdefault(node.id, _Output()).lines(node):
                    say(f"{node.id}: {line}")
            if states.get(node.id) is not node.state:
                states[node.id] = node.state
                say(f"{node.id}: {_sentence(pool, node)}")
        if cancelled() or (not moved and all(node.state in _SETTLED for node in nodes)):
            break
        scheduler.wait(ticks, limits.TASK_POLL_SECONDS)
    if nodes and not cancelled() and not any(node.state in _USABLE for node in nodes):
        reasons = [describe_failure(node.start_task) for node in nodes if node.start_task]
        raise BatchError(
            f"Pool '{pool.id}' has no usable node: {reasons[0] if reasons else 'their preparation failed'}",
            cure="Correct the pool's start task and prepare the pool again.",
            code="StartTaskFailed",
        )
    return nodes


def _sentence(pool: Pool, node: Node) -> str:
    match node.state:
        case NodeState.CREATING:
            return "created"
        case NodeState.STARTING:
            return "making the Python environment"
        case NodeState.WAITING_FOR_START_TASK:
            return f"start task: {pool.spec.start_task.command_line if pool.spec.start_task else ''}"
        case NodeState.START_TASK_FAILED:
            return describe_failure(node.start_task) if node.start_task else "its preparation failed"
        case NodeState.IDLE:
            return "ready"
        case _:
            return node.state.value
