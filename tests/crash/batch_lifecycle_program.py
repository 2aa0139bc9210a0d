"""Takes turns with a Batch service in one process after the other; each is killed at a step of its own.

Steps are both sides of every commit and of every order to a node. Ends once all work has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from kyanite import limits
from kyanite.batch.pools.local import LocalNodes
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault

KILLS = 60
LATEST = 7  # the first process is killed at its first step, the next one at its second, and so on, again and again


def all_ended(service: BatchService) -> bool:
    """Jobs and schedules are completed, and the pools that were made for them are gone."""
    states = [str(job.state) for job in service.jobs("acct")]
    states += [str(schedule.state) for schedule in service.list_schedules("acct")]
    return set(states) == {"completed"} and [pool.id for pool in service.pools("acct")] == ["pool"]


def kill_at(last: int) -> None:
    """End this process without a word at its step of that number."""
    steps = 0

    def watch(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(*arguments: object, **named: object) -> object:
            step()
            answer = original(*arguments, **named)
            step()
            return answer

        setattr(owner, name, call)

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    watch(Database, "_commit")
    for name in ("launch", "ready_node", "remove_node", "delete_pool", "fence"):
        watch(LocalNodes, name)


def turns(home: Path) -> None:
    """What one process does."""
    limits.TASK_PREPARING_SECONDS = 0.1
    service = BatchService(Database(home / "kyanite.db"), home / "batch", Vault(home / "secrets.json"), None, home=home)
    while not all_ended(service):
        service.pump()
        time.sleep(0.002)


def main() -> None:
    home = Path(sys.argv[1])
    for kill in range(KILLS + 1):
        child = os.fork()
        if child == 0:
            if kill < KILLS:
                kill_at(1 + kill % LATEST)
            turns(home)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            print(kill)
            return
    raise SystemExit(1)


main()
