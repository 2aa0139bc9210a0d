"""Samples of every pool, and the autoscale formulas that are due: evaluated, their targets applied, their runs kept.

One sample per pool and period, whichever process takes it. Evaluations go by the pool's own interval from the moment
autoscale was enabled or changed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from kyanite import limits
from kyanite.batch.autoscale import AutoscaleRun, Current, Formula, Sample, Samples, evaluate, parse_formula
from kyanite.batch.machine_metrics import MachineMetrics
from kyanite.batch.model import Pool, PoolState
from kyanite.batch.store import Store, time_text
from kyanite.database import Row, named_statements
from kyanite.errors import BatchError

SQL = named_statements("kyanite.batch", "autoscale_turn.sql")

INTERVAL_ITEM = "kyanite.autoscaleSeconds"

# pool, dedicated nodes, low-priority nodes, deallocation option, now
Resize = Callable[[Pool, int, int, str, datetime], object]


def check_formula(text: str) -> Formula:
    """The formula, or BatchError AutoScalingFormulaSyntaxError or AutoScaleFormulaTooLong with line and column."""
    return parse_formula(text)


def interval_of(pool: Pool) -> float:
    """Seconds between evaluations: the pool's interval, or less by its metadata item kyanite.autoscaleSeconds.

    The service's own interval is 5 minutes at least; the item is for pools that should follow their tasks at once.
    """
    for item in pool.spec.document.get("metadata") or ():
        if str(item.get("name", "")).casefold() == INTERVAL_ITEM.casefold():
            try:
                return max(limits.AUTOSCALE_SHORTEST_SECONDS, float(item.get("value", "")))
            except ValueError:
                break
    return pool.spec.interval


def last_run(store: Store, account: str, pool: str) -> dict[str, Any] | None:
    """The service's AutoScaleRun of the pool's last evaluation; None before the first."""
    return next(iter(runs(store, account, pool, most=1)), None)


def runs(store: Store, account: str, pool: str, most: int = limits.AUTOSCALE_RUNS_KEPT) -> list[dict[str, Any]]:
    """The pool's last evaluations, newest first."""
    return [json.loads(row["run"]) for row in _rows(store, "runs", account, pool, most=most)]


def restart(store: Store, account: str, pool: str, now: datetime) -> None:
    """Begin the pool's evaluations anew, the first one at once: autoscale was enabled or changed."""
    _change(store, "set_due", account, pool, due_at=time_text(now))


def forget(store: Store, account: str, pool: str, *, samples: bool = True) -> None:
    """Drop what is kept of a pool that is gone; with `samples` false (autoscale was disabled) only its due time."""
    with store.database.transaction():
        for statement in ("drop_due", *(("drop_runs", "drop_samples") if samples else ())):
            _change(store, statement, account, pool)


def evaluate_now(
    store: Store, pool: Pool, formula: str, now: datetime, *, period: float = limits.AUTOSCALE_SAMPLE_SECONDS
) -> dict[str, Any]:
    """What a formula says about the pool as it is now, without applying it; the service's AutoScaleRun."""
    return _evaluate(pool, formula, _with_present(store, pool, now, period), now).to_json()


def _with_present(store: Store, pool: Pool, now: datetime, period: float) -> Samples:
    """The kept samples, the present in the place of this period's; the machine's own metrics are the sampler's."""
    kept = list(samples(store, pool, now, period).rows)
    known = kept[-1].values if kept else {}
    while kept and (kept[-1].at >= now or _slot(kept[-1].at, period) == _slot(now, period)):
        kept.pop()
    return Samples(period, [*kept, Sample(now, {**known, **pool_metrics(store, pool)})])


def samples(store: Store, pool: Pool, now: datetime, period: float = limits.AUTOSCALE_SAMPLE_SECONDS) -> Samples:
    """The kept samples of a pool, oldest first."""
    first = _slot(now - timedelta(seconds=limits.AUTOSCALE_SAMPLES_KEPT_SECONDS), period)
    rows = _rows(store, "samples", pool.account, pool.id, first=first)
    return Samples(period, [Sample(datetime.fromisoformat(row["at"]), json.loads(row["metrics"])) for row in rows])


def pool_metrics(store: Store, pool: Pool) -> dict[str, float]:
    """The counts of a pool's tasks and nodes now, by the names that formulas use."""
    tasks = {"running": 0, "success": 0, "failure": 0}
    tasks["active"] = _rows(store, "ready_in_pool", pool.account, pool.id)[0]["n"]
    for row in _rows(store, "tasks_of_pool", pool.account, pool.id):
        if row["state"] in ("running", "preparing"):
            tasks["running"] += row["n"]
        elif row["state"] == "completed":
            tasks[row["result"] or "failure"] += row["n"]
    nodes = _rows(store, "nodes_of_pool", pool.account, pool.id)
    count = {
        "$CurrentDedicatedNodes": sum(row["n"] for row in nodes if row["dedicated"]),
        "$CurrentLowPriorityNodes": sum(row["n"] for row in nodes if not row["dedicated"]),
        "$PreemptedNodeCount": sum(row["n"] for row in nodes if row["state"] == "preempted"),
        "$SampleNodeCount": sum(row["n"] for row in nodes),
        "$UsableNodeCount": sum(
            row["n"] for row in nodes if row["state"] in ("idle", "running") and not row["leaving"]
        ),
        "$ActiveTasks": tasks["active"],
        "$RunningTasks": tasks["running"],
        "$PendingTasks": tasks["active"] + tasks["running"],
        "$SucceededTasks": tasks["success"],
        "$FailedTasks": tasks["failure"],
    }
    return {name: float(value) for name, value in count.items()}


class Autoscaler:
    """The autoscale part of a scheduler's turn; `step` does nothing until something is due."""

    def __init__(
        self,
        store: Store,
        resize: Resize,
        *,
        period: float = limits.AUTOSCALE_SAMPLE_SECONDS,
        machine: MachineMetrics | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._resize = resize
        self._period = period
        self._machine = machine
        self._rand = rand
        self._slot: int | None = None
        self.due = datetime.min.replace(tzinfo=UTC)

    def wake(self) -> None:
        """Look at the next step: a pool was added, or its autoscale changed."""
        self.due = datetime.min.replace(tzinfo=UTC)

    def step(self, now: datetime) -> bool:
        """Take the samples and do the evaluations that are due; whether a pool's size was changed."""
        if now < self.due:
            return False
        first = self._store.database.query(SQL["first_due"])[0]["due_at"]
        waiting = first is not None and first <= time_text(now)
        slot = _slot(now, self._period)
        resized = False
        if waiting or slot != self._slot:
            pools = [pool for account in self._store.accounts() for pool in self._store.pools(account.name)]
            self._sample([pool for pool in pools if pool.state is PoolState.ACTIVE], slot, now)
            self._slot = slot
            for pool in pools:
                resized |= self._evaluate(pool, now)
            first = self._store.database.query(SQL["first_due"])[0]["due_at"]
        next_slot = datetime.fromtimestamp((slot + 1) * self._period, UTC)
        others = [datetime.fromisoformat(first)] if first is not None else []
        self.due = min([next_slot, now + timedelta(seconds=limits.AUTOSCALE_LOOK_SECONDS), *others])
        return resized

    def _sample(self, pools: list[Pool], slot: int, now: datetime) -> None:
        """One transaction for all pools; those that another process has sampled in this period are left out."""
        have = {
            (row["account"], row["pool"])
            for account in {pool.account.casefold() for pool in pools}
            for row in self._store.database.query(SQL["sampled"], {"account": account, "slot": slot})
        }
        lacking = [pool for pool in pools if (pool.account.casefold(), pool.id.casefold()) not in have]
        if not lacking:
            return
        machine = self._machine.read(now) if self._machine is not None else {}
        first = slot - int(limits.AUTOSCALE_SAMPLES_KEPT_SECONDS / self._period)
        with self._store.database.transaction():
            for pool in lacking:
                counts = pool_metrics(self._store, pool)
                values = (machine if counts["$SampleNodeCount"] else {}) | counts
                metrics = json.dumps(values, separators=(",", ":"))
                _change(self._store, "add_sample", pool.account, pool.id, slot=slot, at=time_text(now), metrics=metrics)
                _change(self._store, "drop_old_samples", pool.account, pool.id, first=first)

    def _evaluate(self, pool: Pool, now: datetime) -> bool:
        """Evaluate the pool's formula when it is due; whether the pool's targets changed."""
        if pool.spec.formula is None or pool.state is not PoolState.ACTIVE:
            return False
        due = _rows(self._store, "due", pool.account, pool.id)
        if due and due[0]["due_at"] > time_text(now):
            return False
        later = time_text(now + timedelta(seconds=interval_of(pool)))
        known = _with_present(self._store, pool, now, self._period)
        run = _evaluate(pool, pool.spec.formula, known, now, self._rand)
        with self._store.database.transaction():
            _change(self._store, "set_due", pool.account, pool.id, due_at=later)
            wanted = (run.dedicated, run.low_priority)
            changes = run.error is None and wanted != (pool.spec.dedicated_nodes, pool.spec.low_priority_nodes)
            document = run.to_json()
            if changes:
                try:
                    self._resize(pool, run.dedicated, run.low_priority, run.option, now)
                except BatchError as error:
                    document["error"] = {"code": error.error_code, "message": error.message, "values": []}
                    changes = False
            _change(self._store, "add_run", pool.account, pool.id, at=time_text(now), run=json.dumps(document))
            _change(self._store, "drop_old_runs", pool.account, pool.id, kept=limits.AUTOSCALE_RUNS_KEPT)
        return changes


def _evaluate(
    pool: Pool, formula: str, known: Samples, now: datetime, rand: Callable[[], float] = random.random
) -> AutoscaleRun:
    spec = pool.spec
    current = Current(spec.dedicated_nodes, spec.low_priority_nodes, slots_per_node=spec.slots_per_node)
    return evaluate(formula, known, now, current, rand=rand)


def _slot(now: datetime, period: float) -> int:
    return int(now.timestamp() // period)


def _rows(store: Store, statement: str, account: str, pool: str, **arguments: Any) -> list[Row]:
    key = {"account": account.casefold(), "pool": pool.casefold()}
    return store.database.query(SQL[statement], key | arguments)


def _change(store: Store, statement: str, account: str, pool: str, **arguments: Any) -> int:
    key = {"account": account.casefold(), "pool": pool.casefold()}
    return store.database.execute(SQL[statement], key | arguments)
