"""From an assigned attempt to what a backend is told to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kyanite import limits
from kyanite.batch.model import Account, Job, Pool, Task
from kyanite.batch.pools import Key, Launch, Place, ProcessLimits
from kyanite.batch.specs import ResourceFile, StartTask
from kyanite.batch.store import Attempt

_LIMITS = ("memory", "processes", "fileSize")


@dataclass(frozen=True)
class LaunchSpec:
    """What a job's preparation or release runs; `folder` are the steps of its directory below the node's root."""

    folder: tuple[str, ...]
    job_id: str
    task_id: str
    command_line: str = field(repr=False)
    resource_files: tuple[ResourceFile, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    wall_clock: float | None = None
    preparation: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Extra:
    """What the surroundings add to a launch."""

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    packages: tuple[tuple[str, Path], ...] = ()
    token: str | None = field(default=None, repr=False)


NOTHING = Extra()


def place_of(account: Account, pool: Pool, attempt: Attempt) -> Place:
    """Where an attempt runs, names as they are spelled."""
    return Place(account.name, pool.id, attempt.node)


def process_limits(pool: Pool) -> ProcessLimits:
    """The pool's metadata `kyanite.memory`, `kyanite.processes` and `kyanite.fileSize` (bytes, a count, bytes)."""
    found: dict[str, int] = {}
    for item in pool.spec.document.get("metadata") or ():
        name = str(item.get("name", "")).removeprefix("kyanite.")
        value = str(item.get("value", ""))
        if name in _LIMITS and value.isdecimal() and int(value) > 0:
            found[name] = int(value)
    return ProcessLimits(found.get("memory"), found.get("processes"), found.get("fileSize"))


def task_launch(
    account: Account, pool: Pool, job: Job, task: Task, attempt: Attempt, dedicated: bool = True, extra: Extra = NOTHING
) -> Launch:
    """What a task's attempt runs."""
    prepares = job.document.get("jobPreparationTask")
    name = str(prepares.get("id") or "jobpreparation") if prepares else None
    return Launch(
        key=Key(place_of(account, pool, attempt), attempt.id),
        kind="task",
        folder=tuple(task.root_directory.split("/")),
        command_line=task.spec.command_line,
        account_url=account.url,
        job_id=task.job_id,
        task_id=task.id,
        resource_files=task.spec.resource_files,
        environment={**extra.environment, **job.environment, **task.spec.environment},
        wall_clock=task.spec.max_wall_clock,
        grace=limits.KILL_GRACE_SECONDS,
        limits=process_limits(pool),
        packages=extra.packages,
        slots=task.spec.required_slots,
        output_files=tuple(task.spec.document.get("outputFiles") or ()),
        dedicated=dedicated,
        preparation=("workitems", task.job_id, "job-1", name) if name else None,
        token=extra.token,
    )


def start_launch(account: Account, pool: Pool, start: StartTask, attempt: Attempt, extra: Extra = NOTHING) -> Launch:
    """What a node's start task runs, in `startup`."""
    return Launch(
        key=Key(place_of(account, pool, attempt), attempt.id),
        kind="start",
        folder=("startup",),
        command_line=start.command_line,
        account_url=account.url,
        resource_files=start.resource_files,
        environment={**extra.environment, **start.environment},
        grace=limits.KILL_GRACE_SECONDS,
        limits=process_limits(pool),
        packages=extra.packages,
    )


def job_launch(account: Account, pool: Pool, spec: LaunchSpec, attempt: Attempt, extra: Extra = NOTHING) -> Launch:
    """What a job's preparation or release runs on a node."""
    return Launch(
        key=Key(place_of(account, pool, attempt), attempt.id),
        kind=attempt.kind,
        folder=spec.folder,
        command_line=spec.command_line,
        account_url=account.url,
        job_id=spec.job_id,
        task_id=spec.task_id,
        resource_files=spec.resource_files,
        environment={**extra.environment, **spec.environment},
        wall_clock=spec.wall_clock,
        grace=limits.KILL_GRACE_SECONDS,
        limits=process_limits(pool),
        packages=extra.packages,
        preparation=spec.preparation,
    )
