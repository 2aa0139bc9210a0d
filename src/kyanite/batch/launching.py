"""From an assigned attempt to a running command: folders, resource files, environment, order for the runner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kyanite import limits
from kyanite.batch.command_line import parse_command_line
from kyanite.batch.environment import batch_environment
from kyanite.batch.files import opened_folder
from kyanite.batch.model import Account, Job, Pool, StartTask, Task
from kyanite.batch.pools import Order, PoolBackend
from kyanite.batch.staging import OpenUrl, stage
from kyanite.batch.store import Attempt

NODE_FOLDERS = ("applications", "fsmounts", "shared", "startup", "volatile", "workitems")


def make_node_folders(backend: PoolBackend, account: str, pool: str, node: str) -> Path:
    """The node's root with the folders that scripts may count on."""
    root = backend.node_folder(account, pool, node)
    for name in NODE_FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    return root


def launch_task(
    backend: PoolBackend, account: Account, job: Job, task: Task, attempt: Attempt, open_url: OpenUrl
) -> Callable[[], int]:
    """Stage a task's files and start its runner; the answer waits for it. StagingError when a file is missing."""
    root = backend.node_folder(account.name, task.pool_id, attempt.node)
    steps = ("workitems", task.job_id, "job-1", task.id)
    with opened_folder(root, (*steps, "wd"), create=True):
        stage(root, (*steps, "wd"), task.spec.resource_files, open_url)
    folder = root.joinpath(*steps)
    system = batch_environment(account, task.pool_id, attempt.node, root, folder, (task.job_id, task.id))
    order = Order(
        argv=parse_command_line(task.spec.command_line),
        environment={
            **backend.environment(account.name, task.pool_id),
            **job.environment,
            **task.spec.environment,
            **system,
        },
        task_folder=folder,
        working_folder=folder / "wd",
        wall_clock=task.spec.max_wall_clock,
        grace=limits.KILL_GRACE_SECONDS,
    )
    return backend.launch(backend.attempt_folder(account.name, task.pool_id, attempt.node, attempt.id), order)


def launch_start_task(
    backend: PoolBackend, account: Account, pool: Pool, start: StartTask, attempt: Attempt, open_url: OpenUrl
) -> Callable[[], int]:
    """The same for a node's start task, which runs in `startup`."""
    root = backend.node_folder(account.name, pool.id, attempt.node)
    with opened_folder(root, ("startup", "wd"), create=True):
        stage(root, ("startup", "wd"), start.resource_files, open_url)
    folder = root / "startup"
    system = batch_environment(account, pool.id, attempt.node, root, folder, None)
    order = Order(
        argv=parse_command_line(start.command_line),
        environment={**backend.environment(account.name, pool.id), **start.environment, **system},
        task_folder=folder,
        working_folder=folder / "wd",
        wall_clock=None,
        grace=limits.KILL_GRACE_SECONDS,
    )
    return backend.launch(backend.attempt_folder(account.name, pool.id, attempt.node, attempt.id), order)
