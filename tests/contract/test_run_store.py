"""What every run store must do: one class, run for each implementation."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kyanite.database import Database
from kyanite.errors import ConflictError, InvariantError, LeaseLost, NotFoundError, VersionConflict
from kyanite.limits import LEASE_SECONDS
from kyanite.runs.memory import MemoryRunStore
from kyanite.runs.sqlite import SqliteRunStore
from kyanite.runs.store import Owner, RunHeader, RunQuery
from kyanite.secrets import Vault

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = 'pa"ss wörd/with+odd=things'


def at(second, *, day=1):
    return f"2026-03-{day:02}T12:00:{second:02}.000000Z"


def queued(second=0, **body):
    return {"kind": "RunQueued", "at": at(second), **body}


def event(kind, second, **body):
    return {"kind": kind, "at": at(second), **body}


class World:
    """A store together with what stands behind it."""

    def __init__(self, store, vault):
        self.store = store
        self.vault = vault
        self.me = Owner.current()

    def make(self, run_id="run-1", *, second=0, **header):
        header = {"factory": "sample", "pipeline": "CopyParquet", **header}
        assert self.store.create(run_id, RunHeader(**header), [queued(second)])
        return run_id

    def claimed(self, run_id="run-1", **header):
        self.make(run_id, **header)
        return self.store.claim(run_id, self.me, NOW)

    def finish(self, run_id, second=9, status="Succeeded"):
        lease = self.store.claim(run_id, self.me, NOW)
        self.store.append(run_id, 1, [event("RunEnded", second, status=status)], lease=lease)


@pytest.fixture(params=["memory", "sqlite"])
def world(request, tmp_path):
    vault = Vault(tmp_path / "secrets.json")
    vault.put("password", SECRET)
    if request.param == "memory":
        yield World(MemoryRunStore(vault), vault)
        return
    database = Database(tmp_path / "kyanite.db")
    yield World(SqliteRunStore(database, vault), vault)
    database.close()


class TestLog:
    def test_a_new_run_has_its_first_events(self, world):
        world.make()
        assert world.store.version("run-1") == 1
        assert [(one.seq, one.kind, one.at, one.body) for one in world.store.read("run-1")] == [
            (1, "RunQueued", at(0), {})
        ]

    def test_creating_twice_changes_nothing(self, world):
        world.make(parameters={"a": 1})
        assert not world.store.create("run-1", RunHeader("other", "Other"), [queued(5), event("CancelRequested", 6)])
        assert world.store.version("run-1") == 1
        assert world.store.summary("run-1").factory == "sample"

    def test_a_run_begins_with_run_queued(self, world):
        with pytest.raises(InvariantError, match="RunQueued"):
            world.store.create("run-1", RunHeader("f", "p"), [event("RunStarted", 1)])
        with pytest.raises(InvariantError, match="RunQueued"):
            world.store.create("run-1", RunHeader("f", "p"), [])
        assert world.store.version("run-1") == 0

    def test_append_gives_the_new_version_and_numbers_without_gaps(self, world):
        lease = world.claimed()
        assert (
            world.store.append("run-1", 1, [event("RunStarted", 1), event("VariableSet", 2, name="a")], lease=lease)
            == 3
        )
        assert world.store.append("run-1", 3, [event("VariableSet", 3, name="b")], lease=lease) == 4
        assert [one.seq for one in world.store.read("run-1")] == [1, 2, 3, 4]
        assert [one.body.get("name") for one in world.store.read("run-1", after=2)] == ["a", "b"]

    def test_nothing_to_append_changes_nothing(self, world):
        lease = world.claimed()
        assert world.store.append("run-1", 1, [], lease=lease) == 1

    def test_a_wrong_version_is_refused_and_writes_nothing(self, world):
        lease = world.claimed()
        for wrong in (0, 2):
            with pytest.raises(VersionConflict, match="1 events"):
                world.store.append("run-1", wrong, [event("RunStarted", 1)], lease=lease)
        assert world.store.version("run-1") == 1
        assert world.store.summary("run-1").status == "Queued"

    def test_unknown_runs(self, world):
        assert world.store.version("nothing") == 0
        assert world.store.read("nothing") == []
        assert world.store.history("nothing") == []
        assert world.store.summary("nothing") is None
        with pytest.raises(NotFoundError):
            world.store.append("nothing", 0, [event("CancelRequested", 1)])
        with pytest.raises(NotFoundError):
            world.store.claim("nothing", world.me, NOW)

    def test_an_ended_run_takes_no_more_events(self, world):
        world.make()
        world.finish("run-1")
        with pytest.raises(ConflictError, match="ended already"):
            world.store.append("run-1", 2, [event("CancelRequested", 10)])
        assert world.store.version("run-1") == 2

    def test_bodies_come_back_as_they_went_in(self, world):
        body = {
            "input": {"n": 1.5, "list": [None, True, "ünï", {"ключ": "\ud83d"}], "big": "x" * 100_000},
            "path": "A/0/B",
        }
        lease = world.claimed()
        world.store.append("run-1", 1, [event("ActivityStarted", 1, **body)], lease=lease)
        assert world.store.read("run-1", after=1)[0].body == body
        assert world.store.history("run-1", after=1)[0].body == body

    def test_a_time_must_be_utc_text(self, world):
        lease = world.claimed()
        for wrong in ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000000+01:00", None):
            with pytest.raises(InvariantError, match="UTC ISO"):
                world.store.append("run-1", 1, [{"kind": "RunStarted", "at": wrong}], lease=lease)
        assert world.store.version("run-1") == 1


class TestGroupCommit:
    def test_a_refused_append_does_not_disturb_the_others(self, world):
        first, second = world.claimed("run-1"), world.claimed("run-2")
        outcomes = world.store.append_many(
            [
                ("run-1", 1, [event("RunStarted", 1)], first),
                ("run-2", 7, [event("RunStarted", 1)], second),
                ("nothing", 1, [event("CancelRequested", 1)], None),
                ("run-1", 2, [event("VariableSet", 2)], first),
                ("run-2", 1, [event("CancelRequested", 3)], None),
            ]
        )
        assert outcomes[0] == 2
        assert isinstance(outcomes[1], VersionConflict)
        assert isinstance(outcomes[2], NotFoundError)
        assert outcomes[3:] == [3, 2]
        assert [one.kind for one in world.store.read("run-1")] == ["RunQueued", "RunStarted", "VariableSet"]
        assert world.store.summary("run-2").status == "Canceling"


class TestLeases:
    def test_a_living_owner_keeps_its_run(self, world):
        lease = world.claimed()
        assert lease.token == 1
        assert world.store.claim("run-1", world.me, NOW + timedelta(seconds=LEASE_SECONDS - 1)) is None
        assert world.store.summary("run-1").owner == world.me

    def test_a_lease_that_ran_out_goes_to_the_next_and_the_old_owner_can_do_nothing(self, world):
        old = world.claimed()
        new = world.store.claim("run-1", world.me, NOW + timedelta(seconds=LEASE_SECONDS))
        assert new.token == old.token + 1
        with pytest.raises(LeaseLost):
            world.store.append("run-1", 1, [event("RunStarted", 1)], lease=old)
        with pytest.raises(LeaseLost):
            world.store.renew(old, NOW)
        world.store.release(old)
        assert world.store.append("run-1", 1, [event("RunStarted", 1)], lease=new) == 2

    def test_renewing_keeps_others_out(self, world):
        lease = world.claimed()
        later = NOW + timedelta(seconds=LEASE_SECONDS - 1)
        renewed = world.store.renew(lease, later)
        assert renewed == replace(lease, until=later + timedelta(seconds=LEASE_SECONDS))
        assert world.store.claim("run-1", world.me, later + timedelta(seconds=LEASE_SECONDS - 1)) is None
        assert world.store.append("run-1", 1, [event("RunStarted", 1)], lease=lease) == 2

    @pytest.mark.parametrize("change", [{"started": "1"}, {"pid": 2**22 + 5}, {"boot_id": "earlier:ns"}])
    def test_a_dead_owner_is_taken_over_at_once(self, world, change):
        world.make()
        dead = world.store.claim("run-1", replace(world.me, **change), NOW)
        lease = world.store.claim("run-1", world.me, NOW)
        assert lease.token == dead.token + 1
        with pytest.raises(LeaseLost):
            world.store.append("run-1", 1, [event("RunStarted", 1)], lease=dead)

    @pytest.mark.parametrize("change", [{"boot_id": "x:y", "host": "elsewhere"}, {"boot_id": None}])
    def test_an_owner_that_cannot_be_seen_from_here_keeps_its_lease(self, world, change):
        boot = world.me.boot_id.partition(":")[0]
        other = replace(
            world.me, **{**change, "boot_id": change["boot_id"] or f"{boot}:another container"}, pid=2**22 + 5
        )
        world.make()
        assert world.store.claim("run-1", other, NOW)
        assert world.store.claim("run-1", world.me, NOW) is None
        assert world.store.claim("run-1", world.me, NOW + timedelta(seconds=LEASE_SECONDS))

    def test_a_released_run_is_free_and_the_token_still_grows(self, world):
        lease = world.claimed()
        world.store.release(lease)
        assert world.store.summary("run-1").owner is None
        with pytest.raises(LeaseLost):
            world.store.append("run-1", 1, [event("RunStarted", 1)], lease=lease)
        with pytest.raises(LeaseLost):
            world.store.renew(lease, NOW)
        assert world.store.claim("run-1", world.me, NOW).token == 2

    def test_a_lease_is_good_for_its_own_run_only(self, world):
        lease = world.claimed("run-1")
        world.claimed("run-2")
        with pytest.raises(LeaseLost):
            world.store.append("run-2", 1, [event("RunStarted", 1)], lease=lease)

    def test_without_a_lease_only_outside_events_are_taken(self, world):
        world.claimed()
        with pytest.raises(InvariantError, match="RunStarted"):
            world.store.append("run-1", 1, [event("CancelRequested", 1), event("RunStarted", 1)])
        assert world.store.append("run-1", 1, [event("CancelRequested", 1, recursive=True)]) == 2

    def test_an_ended_run_cannot_be_claimed(self, world):
        world.make()
        world.finish("run-1")
        assert world.store.claim("run-1", world.me, NOW + timedelta(days=1)) is None

    def test_of_many_claimants_one_wins(self, world):
        world.make()
        barrier = threading.Barrier(8)
        leases = []

        def claim():
            barrier.wait()
            leases.append(world.store.claim("run-1", world.me, NOW))

        threads = [threading.Thread(target=claim) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sum(lease is not None for lease in leases) == 1

    def test_of_many_writers_with_one_version_one_wins(self, world):
        lease = world.claimed()
        barrier = threading.Barrier(8)
        outcomes = []

        def write(number):
            barrier.wait()
            append = ("run-1", 1, [event("VariableSet", 1, number=number)], lease)
            outcomes.extend(world.store.append_many([append]))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert outcomes.count(2) == 1
        assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 7
        assert world.store.version("run-1") == 2


class TestSummaries:
    def test_a_run_through_its_life(self, world):
        lease = world.claimed(second=1)
        assert world.store.summary("run-1").status == "Queued"
        world.store.append("run-1", 1, [event("RunStarted", 2)], lease=lease)
        running = world.store.summary("run-1")
        assert (running.status, running.queued_at, running.started_at, running.ended_at) == (
            "InProgress",
            at(1),
            at(2),
            None,
        )
        world.store.append("run-1", 2, [event("CancelRequested", 3)])
        assert world.store.summary("run-1").status == "Canceling"
        end = event("RunEnded", 4, status="Cancelled", message="The user cancelled it.")
        world.store.append("run-1", 3, [end], lease=lease)
        ended = world.store.summary("run-1")
        assert (ended.status, ended.ended_at, ended.updated_at, ended.version) == ("Cancelled", at(4), at(4), 4)
        assert ended.message == "The user cancelled it."

    def test_the_header_is_shown(self, world):
        world.make("parent")
        header = {
            "parameters": {"n": 1, "list": ["a"]},
            "snapshot": world.store.put_snapshot({"a": 1}),
            "invoked_by": {"name": "Manual", "invokedByType": "Manual"},
            "group_id": "group",
            "parent_run_id": "parent",
            "annotations": ["x"],
            "run_dimensions": {"d": "1"},
        }
        world.make(**header)
        summary = world.store.summary("run-1")
        assert {name: getattr(summary, name) for name in header} == header
        assert (summary.factory, summary.pipeline, summary.is_latest) == ("sample", "CopyParquet", True)

    def test_the_clock_may_go_back_but_updated_at_does_not(self, world):
        lease = world.claimed(second=30)
        world.store.append("run-1", 1, [event("RunStarted", 10)], lease=lease)
        summary = world.store.summary("run-1")
        assert (summary.started_at, summary.updated_at) == (at(10), at(30))

    def test_a_rerun_supersedes_its_group(self, world):
        world.make("run-1")
        world.make("run-2", group_id="run-1")
        world.make("run-3")
        runs = world.store.runs(RunQuery())
        assert [(run.run_id, run.is_latest) for run in runs] == [("run-3", True), ("run-2", True), ("run-1", False)]
        assert [run.run_id for run in world.store.runs(RunQuery(latest_only=True))] == ["run-3", "run-2"]
        assert [run.run_id for run in world.store.runs(RunQuery(group="run-1"))] == ["run-2", "run-1"]


class TestQueries:
    @pytest.fixture
    def runs(self, world):
        world.make("run-1", second=1, pipeline="A")
        world.make("run-2", second=2, pipeline="B", factory="other")
        world.make("run-3", second=3, pipeline="C", parent_run_id="run-1")
        lease = world.store.claim("run-2", world.me, NOW)
        world.store.append("run-2", 1, [event("RunStarted", 20)], lease=lease)
        world.finish("run-3", 30, status="Failed")
        return lambda **query: [run.run_id for run in world.store.runs(RunQuery(**query))]

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({}, "321"),
            ({"status": "Failed"}, "3"),
            ({"status": ["Failed", "InProgress"]}, "32"),
            ({"status": ()}, ""),
            ({"not_status": "Failed"}, "21"),
            ({"pipeline": "A"}, "1"),
            ({"pipeline": ["A", "C"]}, "31"),
            ({"not_pipeline": ["A", "C"]}, "2"),
            ({"factory": "other"}, "2"),
            ({"factory": "Other"}, ""),
            ({"parent": "run-1"}, "3"),
            ({"updated_after": at(20)}, "32"),
            ({"updated_before": at(20)}, "21"),
            ({"updated_after": at(2), "updated_before": at(29)}, "2"),
            ({"started_after": at(0)}, "2"),
            ({"started_before": at(59)}, "2"),
            ({"ended_after": at(0)}, "3"),
            ({"ended_before": at(29)}, ""),
            ({"status": "Failed", "factory": "other"}, ""),
            ({"limit": 2}, "32"),
        ],
    )
    def test_conditions(self, runs, query, found):
        assert runs(**query) == [f"run-{number}" for number in found]

    def test_pages_follow_one_another_while_runs_are_added(self, world):
        for number in range(1, 6):
            world.make(f"run-{number}")
        first = world.store.runs(RunQuery(limit=2))
        world.make("run-6")
        second = world.store.runs(RunQuery(limit=2, after=first[-1].number))
        third = world.store.runs(RunQuery(limit=2, after=second[-1].number))
        assert [run.run_id for run in [*first, *second, *third]] == [f"run-{number}" for number in (5, 4, 3, 2, 1)]


class TestSecrets:
    def test_the_worker_sees_the_value_and_people_see_asterisks(self, world):
        world.make(parameters={"p": SECRET}, invoked_by={"name": SECRET})
        lease = world.store.claim("run-1", world.me, NOW)
        ended = event("RunEnded", 2, status="Failed", message=f"Cannot use {SECRET}.", **{f"key {SECRET}": [SECRET]})
        world.store.append("run-1", 1, [ended], lease=lease)
        assert world.store.read("run-1")[1].body[f"key {SECRET}"] == [SECRET]
        shown = world.store.history("run-1")[1].body
        assert shown["message"] == "Cannot use ***."
        assert shown["key ***"] == ["***"]
        summary = world.store.summary("run-1")
        assert (summary.parameters, summary.invoked_by) == ({"p": "***"}, {"name": "***"})
        assert summary.message == "Cannot use ***."

    def test_a_value_that_becomes_a_secret_later_is_masked_too(self, world):
        world.make(parameters={"p": "tomorrow's secret"})
        lease = world.store.claim("run-1", world.me, NOW)
        end = event("RunEnded", 2, status="Failed", message="tomorrow's secret", data="tomorrow's secret")
        world.store.append("run-1", 1, [end], lease=lease)
        world.vault.put("later", "tomorrow's secret")
        assert "tomorrow" not in repr(world.store.history("run-1"))
        assert "tomorrow" not in repr(world.store.summary("run-1"))
        assert world.store.read("run-1")[1].body["data"] == "tomorrow's secret"


class TestSnapshots:
    def test_a_snapshot_is_kept_once_and_comes_back_opened(self, world):
        document = {"b": [SECRET], "a": {"order": "kept"}}
        digest = world.store.put_snapshot(document)
        assert world.store.put_snapshot(document) == digest
        assert len(digest) == 64
        assert world.store.snapshot(digest) == document
        assert list(world.store.snapshot(digest)) == ["b", "a"]
        assert world.store.put_snapshot({"other": 1}) != digest

    def test_an_unknown_snapshot(self, world):
        with pytest.raises(NotFoundError):
            world.store.snapshot("0" * 64)


class TestForgetting:
    def test_old_ended_runs_go_and_unfinished_ones_stay(self, world):
        for number in range(1, 5):
            world.make(f"run-{number}")
        world.finish("run-1", 10)
        world.finish("run-2", 20)
        world.finish("run-3", 30)
        assert world.store.forget(datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)) == 2
        assert [run.run_id for run in world.store.runs(RunQuery())] == ["run-4", "run-3"]
        assert world.store.read("run-1") == []
        assert world.store.create("run-1", RunHeader("f", "p"), [queued()])
        assert world.store.forget(datetime(2027, 1, 1, tzinfo=UTC)) == 1


class TestInTheDatabase:
    """What only the durable store does."""

    @pytest.fixture
    def clock(self):
        return [NOW]

    @pytest.fixture
    def world(self, tmp_path, clock):
        vault = Vault(tmp_path / "secrets.json")
        vault.put("password", SECRET)
        database = Database(tmp_path / "kyanite.db")
        world = World(SqliteRunStore(database, vault, clock=lambda: clock[0]), vault)
        world.database = database
        yield world
        database.close()

    def test_one_append_is_one_commit(self, world):
        lease = world.claimed()
        before = world.database.commits
        world.store.append("run-1", 1, [event("RunStarted", 1), event("VariableSet", 2)], lease=lease)
        assert world.database.commits == before + 1
        world.store.append_many([("run-1", 3, [event("CancelRequested", 3)], None) for _ in range(5)])
        assert world.database.commits == before + 2

    def test_no_secret_is_on_the_disk(self, world):
        world.make(parameters={"p": SECRET})
        world.store.put_snapshot({"p": SECRET})
        lease = world.store.claim("run-1", world.me, NOW)
        ended = event("RunEnded", 2, status="Failed", message=f"Cannot use {SECRET}.", p=SECRET)
        world.store.append("run-1", 1, [ended], lease=lease)
        world.database.close()
        content = (world.database.path).read_bytes()
        assert b"RunEnded" in content
        assert b"odd=things" not in content

    def test_another_process_sees_the_run(self, world, tmp_path):
        world.make()
        other = Database(tmp_path / "kyanite.db")
        assert SqliteRunStore(other, world.vault).version("run-1") == 1
        other.close()

    def test_a_message_with_half_a_surrogate_pair(self, world):
        lease = world.claimed()
        end = event("RunEnded", 1, status="Failed", message="broken \ud83d text")
        world.store.append("run-1", 1, [end], lease=lease)
        assert world.store.summary("run-1").message == "broken ? text"
        assert world.store.read("run-1", after=1)[0].body["message"] == "broken \ud83d text"

    def test_forgetting_goes_in_small_transactions(self, world, monkeypatch):
        monkeypatch.setattr("kyanite.runs.sqlite.FORGET_EVENTS", 4)
        for number in range(5):
            world.make(f"run-{number}")
            world.finish(f"run-{number}", number)
        before = world.database.commits
        assert world.store.forget(datetime(2027, 1, 1, tzinfo=UTC)) == 5
        assert world.database.commits == before + 3 + 1
        tables = ("runs", "headers", "events")
        assert [world.database.query(f"SELECT count(*) FROM {table}")[0][0] for table in tables] == [0, 0, 0]

    def test_snapshots_go_when_no_run_needs_them_and_none_is_on_its_way(self, world, clock):
        used, unused = world.store.put_snapshot({"used": 1}), world.store.put_snapshot({"unused": 1})
        world.make(snapshot=used)
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        clock[0] = NOW + timedelta(hours=1)
        world.store.forget(long_ago)
        assert world.store.snapshot(unused) == {"unused": 1}
        clock[0] = NOW + timedelta(hours=1, minutes=30)
        asked_again = world.store.put_snapshot({"unused": 1})
        assert asked_again == unused
        clock[0] = NOW + timedelta(hours=3)
        world.store.forget(long_ago)
        assert world.store.snapshot(unused) == {"unused": 1}
        clock[0] = NOW + timedelta(hours=4)
        world.store.forget(long_ago)
        assert world.store.snapshot(used) == {"used": 1}
        with pytest.raises(NotFoundError):
            world.store.snapshot(unused)

    def test_asking_for_a_known_snapshot_writes_nothing(self, world):
        world.store.put_snapshot({"a": 1})
        before = world.database.commits
        world.store.put_snapshot({"a": 1})
        assert world.database.commits == before
