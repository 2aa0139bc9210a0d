"""What the scheduler works with, given to it by the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from kyanite.batch.launching import LaunchSpec
from kyanite.batch.model import Account, AttemptEnd, Exited, FailureInfo, Pool, Task
from kyanite.batch.pools import PoolBackend
from kyanite.batch.store import Attempt, Store


class Lifecycle(Protocol):
    """The rules of jobs and schedules; a module will do."""

    def step(self, store: Store, now: datetime) -> bool:
        """Move what is due (inside the turn's transaction); whether anything moved."""

    def ready_on(self, store: Store, account: str, job: str, node: str, now: datetime) -> str:
        """Whether a job's preparation is done on a node: ready, preparing (begun now if need be) or blocked."""

    def launch_of(self, store: Store, attempt: Attempt) -> LaunchSpec | None:
        """What a preparation or release attempt runs; None when its job is gone."""

    def attempt_ended(self, store: Store, attempt: Attempt, end: AttemptEnd, now: datetime) -> None:
        """Record the end of a preparation or release, in the transaction that closes the attempt."""


@dataclass(frozen=True)
class Surroundings:
    """`upload` puts the output files of an ended task (its folder, its end) where they belong; a failure is told.

    `packages` gives the (variable, zip file) pairs of a pool's and a task's application packages, `token` the
    authentication token of a task that asks for one, `task_environment` what a pool's tasks see of the gateway. These
    three and `upload` may be slow and are called in threads of their own or when a node is prepared.
    """

    store: Store
    backend: Callable[[str], PoolBackend]
    clock: Callable[[], datetime]
    mask: Callable[[str], str]
    backends: Callable[[], tuple[PoolBackend, ...]] = lambda: ()
    lifecycle: Lifecycle | None = None
    autoscale: Callable[[datetime], bool] | None = None
    upload: Callable[[Task, Path, Exited], FailureInfo | None] | None = None
    packages: Callable[[Account, Pool, Task | None], tuple[tuple[str, Path], ...]] | None = None
    token: Callable[[Account, Task], str | None] | None = None
    task_environment: Callable[[Pool], Mapping[str, str]] | None = None
