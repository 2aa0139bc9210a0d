"""A Batch service whose nodes are make-believe: commands end as they say, at once or when the test says so."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kyanite.batch import rows, wire
from kyanite.batch.model import TASK_ENDED, Exited, task_problems
from kyanite.batch.pools import Health, Report, Seen
from kyanite.batch.pools.local import LocalFiles
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.secrets import Vault

BASE = "http://127.0.0.1/batch/acct"


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self):
        return self.now

    def move(self, **by):
        self.now += timedelta(**by)


class Files(LocalFiles):
    """Real folders; remembers what was removed."""

    def __init__(self, root, removed, place):
        super().__init__(root)
        self._removed, self._place = removed, place

    def remove(self, parts):
        self._removed.append((self._place.node, "/".join(parts)))
        if self.root.is_dir():
            super().remove(parts)


@dataclass
class FakeNodes:
    """`exit N` ends with code N, `exit N then M` differs by attempt, `hang` runs until stopped or `finish`ed."""

    clock: Clock
    root: Path
    launched: dict = field(default_factory=dict)
    ended: dict = field(default_factory=dict)
    fenced: set = field(default_factory=set)
    news: list = field(default_factory=list)
    removed: list = field(default_factory=list)
    deleted_pools: list = field(default_factory=list)
    order: list = field(default_factory=list)

    def launch(self, launch):
        attempt = launch.key.attempt
        if attempt in self.fenced or attempt in self.launched:
            return
        self.launched[attempt] = launch
        name = launch.task_id or "start"
        self.order.append(name)
        codes = re.fullmatch(r"exit (\d+)(?: then (\d+))?", launch.command_line)
        if codes:
            tried = self.order.count(name)
            self._end(attempt, int(codes[2] if tried > 1 and codes[2] is not None else codes[1]))

    def finish(self, name, code=0):
        """End the running command of a task."""
        attempt = self.running()[name]
        self._end(attempt, code)

    def running(self):
        """Task id (or `start`) -> attempt of what runs."""
        return {
            launch.task_id or "start": attempt for attempt, launch in self.launched.items() if attempt not in self.ended
        }

    def _end(self, attempt, code, failure=None):
        now = self.clock()
        self.ended[attempt] = Exited(code, now, now, failure)
        self.news.append(Report(attempt, self.ended[attempt]))

    def poll(self, keys):
        return {key.attempt: self._seen(key.attempt) for key in keys}

    def _seen(self, attempt):
        if attempt in self.fenced:
            return Seen("fenced")
        if attempt not in self.launched:
            return Seen("unclaimed")
        if attempt not in self.ended:
            return Seen("running")
        end = self.ended[attempt]
        body = {
            "exitCode": end.exit_code,
            "startTime": rows.time_text(end.start_time),
            "endTime": rows.time_text(end.end_time),
            "reason": "exited",
            "failure": end.failure.to_json() if end.failure else None,
        }
        return Seen("ended", body)

    def fence(self, key):
        if key.attempt in self.launched:
            return False
        self.fenced.add(key.attempt)
        return True

    def stop(self, key, grace):
        if key.attempt not in self.ended:
            self._end(key.attempt, 143, TASK_ENDED)

    def reports(self):
        news, self.news = self.news, []
        return news

    def stamp(self, account, pool):
        return "1"

    def prepare(self, account, pool, say):
        return "1"

    def health(self, place):
        return Health(True)

    def files(self, place):
        return Files(self.node_folder(place.account, place.pool, place.node), self.removed, place)

    def node_folder(self, account, pool, node):
        return self.root / account / pool / "nodes" / node

    def delete_pool(self, account, pool):
        self.deleted_pools.append(pool)

    def ensure_pool(self, account, spec): ...
    def ready_node(self, place): ...
    def restart_node(self, place, clean): ...
    def revive_node(self, place): ...
    def remove_node(self, place): ...
    def forget(self, key): ...
    def listen(self, on_news): ...
    def wake(self): ...
    def close(self): ...


@dataclass
class Batch:
    service: BatchService
    nodes: FakeNodes
    clock: Clock
    database: Database
    vault: Vault

    def pool(self, pool_id="p", nodes=1, **more):
        body = {"id": pool_id, "vmSize": "local", "targetDedicatedNodes": nodes, **more}
        return self.service.add_pool("acct", body)

    def job(self, job_id="j", pool="p", **more):
        return self.service.add_job("acct", {"id": job_id, "poolInfo": {"poolId": pool}, **more})

    def task(self, task_id, command="exit 0", job="j", **more):
        return self.service.add_task("acct", job, {"id": task_id, "commandLine": command, **more})

    def turn(self, most=2000):
        """Take turns until nothing moves any more."""
        for _ in range(most):
            self.service._scheduler._keeper.look_soon()
            self.service._scheduler.notify()
            before = self.database.query("SELECT total_changes() AS n")[0]["n"]
            busy = bool(self.service._scheduler._keeper._threads)
            self.service.pump()
            busy |= bool(self.service._scheduler._keeper._threads)
            after = self.database.query("SELECT total_changes() AS n")[0]["n"]
            if before == after and not busy and not self.nodes.news:
                return
        raise AssertionError("it never comes to rest")

    def state(self, task_id, job="j"):
        task = self.service.get_task("acct", job, task_id)
        assert task_problems(task) == []
        return str(task.state)

    def states(self, job="j"):
        return {task.id: str(task.state) for task in self.service.tasks("acct", job)}

    def wire_task(self, task_id, job="j"):
        return wire.task_json(self.service.get_task("acct", job, task_id), BASE)

    def wire_job(self, job="j"):
        return wire.job_json(self.service.get_job("acct", job), BASE)

    def wire_pool(self, pool="p"):
        return wire.pool_json(self.service.get_pool("acct", pool), BASE)


@contextmanager
def opened(home):
    """A Batch account `acct` with make-believe nodes."""
    clock = Clock()
    database, vault = Database(None), Vault()
    service = BatchService(database, home / "batch", vault, None, home=home, clock=clock)
    nodes = FakeNodes(clock, home / "batch")
    service._backends["local"] = nodes
    service.create_account("acct")
    try:
        yield Batch(service, nodes, clock, database, vault)
    finally:
        service.close()
        database.close()
