"""Samples and evaluations in a real database, with a clock that the test moves. No node is ever prepared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kyanite import limits
from kyanite.batch import autoscale_turn
from kyanite.batch.autoscale_turn import Autoscaler
from kyanite.batch.resizing import change_size
from kyanite.batch.service import BatchService
from kyanite.database import Database
from kyanite.errors import BatchError
from kyanite.secrets import Vault

NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@dataclass
class World:
    service: BatchService
    now: datetime = NOON

    def __post_init__(self) -> None:
        self.scaler = self.autoscaler()

    @property
    def store(self) -> object:
        return self.service._store

    def autoscaler(self, **options: object) -> Autoscaler:
        """As each process has one."""
        resize = lambda pool, *rest: change_size(self.service._store, pool, *rest)  # noqa: E731
        return Autoscaler(self.service._store, resize, **options)

    def pool(self, formula: str | None, pool_id: str = "p", **members: object) -> None:
        size = (
            {"targetDedicatedNodes": 2} if formula is None else {"enableAutoScale": True, "autoScaleFormula": formula}
        )
        self.service.add_pool("acct", {"id": pool_id, "vmSize": "local", **size, **members})

    def tasks(self, count: int, job: str = "j", **members: object) -> None:
        if job not in {found.id for found in self.service.list_jobs("acct")}:
            self.service.add_job("acct", {"id": job, "poolInfo": {"poolId": "p"}, "usesTaskDependencies": True})
        first = len(list(self.service.list_tasks("acct", job)))
        for number in range(first, first + count):
            self.service.add_task("acct", job, {"id": f"t{number}", "commandLine": "true", **members})

    def later(self, seconds: float) -> bool:
        self.now += timedelta(seconds=seconds)
        return self.scaler.step(self.now)

    def targets(self, pool_id: str = "p") -> tuple[int, int]:
        spec = self.service.get_pool("acct", pool_id).spec
        return spec.dedicated_nodes, spec.low_priority_nodes

    def run(self, pool_id: str = "p") -> dict:
        run = self.service.autoscale_run("acct", pool_id)
        assert run is not None
        return run


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = Database(tmp_path / "kyanite.db")
    vault = Vault(tmp_path / "secrets.json")
    worlds: list[World] = []
    clock = lambda: worlds[0].now if worlds else NOON  # noqa: E731
    service = BatchService(database, tmp_path / "batch", vault, None, home=tmp_path, clock=clock)
    service.create_account("acct")
    worlds.append(World(service))
    yield worlds[0]
    service.close()
    database.close()


def test_a_new_pool_is_evaluated_at_once_and_again_after_its_interval(world: World) -> None:
    world.pool("$TargetDedicatedNodes = min(5, $PendingTasks);")
    assert not world.later(0)
    assert world.run()["results"].startswith("$TargetDedicatedNodes=0;")
    world.tasks(3)
    assert not world.later(800)
    assert world.targets() == (0, 0)
    assert world.later(100)
    assert world.targets() == (3, 0)
    assert len(list(world.service.list_nodes("acct", "p"))) == 3
    world.tasks(9)
    assert not world.later(899)
    assert world.later(1)
    assert world.targets() == (5, 0)
    assert len(world.service.autoscale_runs("acct", "p")) == 3


def test_enabling_evaluates_at_once_and_restarts_the_interval(world: World) -> None:
    world.pool("$TargetDedicatedNodes = 1;")
    world.later(0)
    world.later(600)
    document = {"autoScaleFormula": "$TargetLowPriorityNodes = 2;", "autoScaleEvaluationInterval": "PT5M"}
    world.service.enable_autoscale("acct", "p", document)
    assert world.later(limits.AUTOSCALE_LOOK_SECONDS)
    assert world.targets() == (1, 2)
    assert not world.later(299)
    assert len(world.service.autoscale_runs("acct", "p")) == 2
    world.later(1)
    assert len(world.service.autoscale_runs("acct", "p")) == 3


def test_a_short_interval_stands_in_the_metadata_and_sees_the_present(world: World) -> None:
    item = {"name": "kyanite.autoscaleSeconds", "value": "5"}
    world.pool("n = $PendingTasks.Count(); $TargetDedicatedNodes = $PendingTasks;", metadata=[item])
    world.later(1)
    world.tasks(2)
    assert not world.later(4)
    assert world.later(1)
    assert world.targets() == (2, 0)
    assert world.run()["results"].endswith("n=1")  # the present took the place of the period's sample
    world.later(30)
    assert world.run()["results"].endswith("n=2")


@pytest.mark.parametrize(("value", "seconds"), [("0", 1.0), ("nonsense", 900.0), ("7.5", 7.5)])
def test_the_metadata_item_is_read_with_care(world: World, value: str, seconds: float) -> None:
    world.pool("$TargetDedicatedNodes = 0;", metadata=[{"name": "KYANITE.autoscaleSeconds", "value": value}])
    assert autoscale_turn.interval_of(world.service.get_pool("acct", "p")) == seconds


def test_a_failed_evaluation_changes_nothing_and_is_shown(world: World) -> None:
    world.pool("$TargetDedicatedNodes = avg($RunningTasks.GetSample(TimeInterval_Minute * 10, 90));")
    assert not world.later(0)
    error = world.run()["error"]
    assert error["code"] == "InsufficientSampleData"
    assert error["values"][0]["value"] == (
        "Line 1, Col 52: Insufficient data from data set: $RunningTasks wanted 90%, received 5%"
    )
    for _ in range(30):
        assert not world.later(30)
    assert "error" not in world.run()
    assert [("error" in run) for run in world.service.autoscale_runs("acct", "p")] == [False, True]


def test_one_sample_per_pool_and_period_whoever_takes_it(world: World) -> None:
    world.pool(None)
    world.pool(None, "q")
    other = world.autoscaler()
    for _ in range(40):
        world.later(7)
        other.step(world.now)
    rows = world.service._store.database.query(
        "SELECT pool, COUNT(*) AS n, COUNT(DISTINCT slot) AS s FROM batch_samples GROUP BY pool"
    )
    assert [(row["pool"], row["n"], row["s"]) for row in rows] == [("p", 10, 10), ("q", 10, 10)]


def test_nothing_is_asked_of_the_database_between_two_dues(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.pool("$TargetDedicatedNodes = 0;")
    world.later(0)
    monkeypatch.setattr(world.service._store.database, "query", lambda *_: pytest.fail("a query"))
    for _ in range(100):
        assert not world.later(0.001)


def test_metrics_count_what_formulas_mean_by_them(world: World) -> None:
    world.pool(None)
    world.tasks(2)
    world.tasks(1, dependsOn={"taskIds": ["t0"]})
    pool = world.service.get_pool("acct", "p")
    found = autoscale_turn.pool_metrics(world.service._store, pool)
    assert found["$ActiveTasks"] == found["$PendingTasks"] == 2
    assert (found["$RunningTasks"], found["$SucceededTasks"], found["$FailedTasks"]) == (0, 0, 0)
    assert (found["$CurrentDedicatedNodes"], found["$CurrentLowPriorityNodes"]) == (2, 0)
    assert found["$UsableNodeCount"] == 0
    world.service.terminate_task("acct", "j", "t1")
    found = autoscale_turn.pool_metrics(world.service._store, pool)
    assert (found["$ActiveTasks"], found["$FailedTasks"]) == (1, 1)


def test_the_dry_run_sees_the_present_and_changes_nothing(world: World) -> None:
    world.pool(None)
    world.tasks(4)
    run = world.service.preview_autoscale("acct", "p", "$TargetDedicatedNodes = $PendingTasks;")
    assert run["results"].startswith("$TargetDedicatedNodes=4;$TargetLowPriorityNodes=0;")
    assert world.targets() == (2, 0)
    assert world.service.autoscale_runs("acct", "p") == []
    with pytest.raises(BatchError) as caught:
        world.service.evaluate_autoscale("acct", "p", {"autoScaleFormula": "$TargetDedicatedNodes=1"})
    assert caught.value.error_code == "PoolNotEligibleForOperation"
    with pytest.raises(BatchError) as caught:
        world.service.preview_autoscale("acct", "p", "$TargetDedicatedNodes = ")
    assert caught.value.error_code == "AutoScalingFormulaSyntaxError"


def test_a_wrong_formula_makes_no_pool(world: World) -> None:
    with pytest.raises(BatchError) as caught:
        world.pool("$TargetDedicatedNodes = nonsense(1);")
    assert caught.value.error_code == "AutoScalingFormulaSyntaxError"
    assert list(world.service.list_pools("acct")) == []


def test_a_resize_that_is_refused_becomes_the_runs_error(world: World) -> None:
    def refuse(*_: object) -> None:
        raise BatchError("Not so many.", code="PoolQuotaReached")

    world.pool("$TargetDedicatedNodes = 3;")
    scaler = Autoscaler(world.service._store, refuse)
    assert not scaler.step(world.now)
    assert world.run()["error"] == {"code": "PoolQuotaReached", "message": "Not so many.", "values": []}
    assert world.targets() == (0, 0)


def test_samples_and_runs_are_kept_for_a_bounded_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUTOSCALE_SAMPLES_KEPT_SECONDS", 300.0)
    monkeypatch.setattr(limits, "AUTOSCALE_RUNS_KEPT", 3)
    world.pool("$TargetDedicatedNodes = 0;", autoScaleEvaluationInterval="PT5M")
    for _ in range(120):
        world.later(30)
    assert world.service._store.database.query("SELECT COUNT(*) AS n FROM batch_samples")[0]["n"] == 11
    assert world.service._store.database.query("SELECT COUNT(*) AS n FROM batch_autoscale_runs")[0]["n"] == 3


def test_a_pool_that_is_disabled_is_sampled_but_not_evaluated(world: World) -> None:
    world.pool("$TargetDedicatedNodes = 0;")
    world.later(0)
    world.service.disable_autoscale("acct", "p")
    world.later(5000)
    assert len(world.service.autoscale_runs("acct", "p")) == 1
    known = autoscale_turn.samples(world.service._store, world.service.get_pool("acct", "p"), world.now)
    assert len(known.rows) == 2


def test_the_machine_is_measured_for_pools_that_have_nodes(world: World, tmp_path: Path) -> None:
    from kyanite.batch.machine_metrics import MachineMetrics

    world.pool(None)
    world.pool("$TargetDedicatedNodes = 0;", "empty")
    scaler = world.autoscaler(machine=MachineMetrics(str(tmp_path / "not" / "there")))
    for seconds in (0, 30):
        scaler.step(world.now + timedelta(seconds=seconds))
    world.now += timedelta(seconds=60)
    pool, empty = (world.service.get_pool("acct", name) for name in ("p", "empty"))
    first, second = autoscale_turn.samples(world.service._store, pool, world.now).rows
    assert "$CPUPercent" not in first.values
    assert 0 <= second.values["$CPUPercent"] <= 1
    assert second.values["$WallClockSeconds"] == 30
    assert second.values["$MemoryBytes"] > 0
    rows = autoscale_turn.samples(world.service._store, empty, world.now).rows
    assert all("$MemoryBytes" not in row.values for row in rows)
