"""The test kit on a made-up factory: mocks, the clock, what a run tells, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from kyanite.errors import NotFoundError, ParameterError, UserError
from kyanite.testing import Call, FactoryUnderTest, failed, hangs, load_factory, per_call, succeeded

FOLDER = Path(__file__).parents[2] / "fixtures" / "testing" / "orders"
REGIONS = {"value": [{"name": "north"}, {"name": "south"}, {"name": "west"}]}
CHILD = {"Approve": succeeded(), "Push": succeeded({"files": 3})}


@pytest.fixture
def factory() -> FactoryUnderTest:
    return load_factory(FOLDER)


def load(factory: FactoryUnderTest, mocks: dict | None = None, **options: object):
    usual = {"Look": REGIONS, "CopyRegion": succeeded(after="1m"), "Warn": None, "Apologize": None, **CHILD}
    return factory.run("Load", parameters={"day": "2026-01-31"}, mocks={**usual, **(mocks or {})}, **options)


def test_a_run_tells_inputs_outputs_order_and_times(factory: FactoryUnderTest) -> None:
    run = load(factory, now="2026-01-31T06:00:00Z")
    run.assert_succeeded().assert_order("Look", "EachRegion", "Publish").assert_ran("Warn", "SetDelta")
    run.assert_not_run("Apologize", "SetFull", "Unknown")
    assert run.activity("look").input["query"] == "day=2026-01-31"
    assert run.activity("Publish").output["pipelineReturnValue"] == {"files": 3}
    assert run.activity("Publish").started_at.isoformat() == "2026-01-31T06:02:00+00:00"
    assert run.activity("EachRegion").duration.total_seconds() == 120  # three items, two at a time
    assert run.activity("Warn").input["body"] == "2026-01-31T06:00:00.0000000Z"
    assert (run.skipped, run.variables["how"]) == (["Apologize"], "what changed")
    assert sorted(run.variables["done"]) == ["north", "south", "west"]
    assert run.order[:2] == ["Look", "Mode"] or run.order[:2] == ["Mode", "Look"]
    assert run.order.count("CopyRegion") == 3


def test_iterations_have_items_and_their_own_activities(factory: FactoryUnderTest) -> None:
    run = load(factory, {"CopyRegion": lambda call: failed("E7") if "south" in call.input["source"]["path"] else None})
    first, second, third = run.iterations("EachRegion")
    assert [iteration.status for iteration in (first, second, third)] == ["Succeeded", "Failed", "Succeeded"]
    assert (second.index, second.item) == (1, {"name": "south"})
    assert second.activity("CopyRegion").attempts == 3
    assert second.activity("CopyRegion").error["errorCode"] == "E7"
    assert second.activity("Note").status == "Skipped"
    with pytest.raises(NotFoundError, match="'Copy' was not reached in iteration 0"):
        first.activity("Copy")


def test_a_script_counts_over_all_iterations_and_per_call_within_each(factory: FactoryUnderTest) -> None:
    run = load(factory, {"CopyRegion": failed("E1", times=1)})
    assert sorted(a.attempts for a in run.activities if a.name == "CopyRegion") == [1, 1, 2]
    run = load(factory, {"CopyRegion": per_call(failed("E1", times=2), {"rows": 5})})
    copies = [a for a in run.activities if a.name == "CopyRegion"]
    assert [(a.attempts, a.output) for a in copies] == [(3, {"rows": 5})] * 3
    run = load(factory, {"CopyRegion": [failed(times=2), succeeded({"rows": 1}), succeeded({"rows": 2})]})
    assert sorted(a.output["rows"] for a in run.activities if a.name == "CopyRegion") == [1, 2, 2]


def test_a_callable_sees_the_attempt_and_what_it_raises_reaches_the_test(factory: FactoryUnderTest) -> None:
    calls: list[Call] = []

    def copy(call: Call):
        calls.append(call)
        return failed(after="10s") if call.attempt == 1 else succeeded()

    load(factory, {"CopyRegion": copy})
    assert (
        sorted((call.attempt, call.pipeline, call.type) for call in calls)
        == [(1, "Load", "Copy")] * 3 + [(2, "Load", "Copy")] * 3
    )
    assert [call.number for call in calls] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ZeroDivisionError):
        load(factory, {"CopyRegion": lambda call: 1 // 0})
    with pytest.raises(ParameterError, match="The mock of 'CopyRegion' gave 7"):
        load(factory, {"CopyRegion": lambda call: 7})


def test_children_run_too_or_are_mocked(factory: FactoryUnderTest) -> None:
    run = load(factory)
    child = run.child("Publish")
    assert (child.status, child.parameters, child.return_value) == (
        "Succeeded",
        {"folder": "out/2026-01-31"},
        {"files": 3},
    )
    assert child.activity("Push").input == {"command": "push out/2026-01-31"}
    run = load(factory, {"Publish": failed("x", "nobody there", after="5m")})
    assert run.children == [] and run.activity("Publish").status == "Failed"
    run.assert_failed(containing="nobody there")
    run = load(factory, {"Publish": succeeded({"files": 9})})
    assert run.activity("Publish").output["pipelineReturnValue"] == {"files": 9}
    with pytest.raises(NotFoundError, match="started no child by 'Publish'"):
        run.child("Publish")


def test_timeouts_end_what_hangs(factory: FactoryUnderTest) -> None:
    run = load(factory, {"Approve": hangs()})
    approve = run.child("Publish").activity("Approve")
    assert (approve.status, approve.error["errorCode"]) == ("Failed", "ActivityTimeout")
    assert approve.duration.total_seconds() == 3_600
    run = load(factory, {"Push": hangs()})
    push = run.child("Publish").activity("Push")
    assert (push.status, push.duration.total_seconds()) == ("TimedOut", 1_800)
    with pytest.raises(UserError, match="Nothing will happen any more, but Publish did not end"):
        load(factory, {"Publish": hangs()})


def test_the_clock_moves_by_hand(factory: FactoryUnderTest) -> None:
    mocks = {"Look": REGIONS, "CopyRegion": succeeded(after="1m"), "Warn": None, **CHILD}
    run = factory.start("Load", parameters={"day": "d"}, mocks=mocks, now="2026-01-31T06:00:00")
    assert (run.status, run.activity("EachRegion").status, len(run.iterations("EachRegion"))) == ("InProgress",) * 2 + (
        2,
    )
    run.advance("59s").assert_status("InProgress", "CopyRegion")
    assert [a.status for a in run.activities if a.name == "CopyRegion"] == ["InProgress"] * 2
    run.advance(1)
    assert [a.status for a in run.activities if a.name == "CopyRegion"] == ["Succeeded"] * 2 + ["InProgress"]
    run.advance_to("2026-01-31T05:00:00Z")
    assert run.now.isoformat() == "2026-01-31T06:01:00+00:00"
    assert run.cancel().status == "Cancelled"
    assert run.activity("EachRegion").status == "Cancelled" and run.finish().status == "Cancelled"


def test_global_parameters_and_triggers_are_seen(factory: FactoryUnderTest) -> None:
    assert load(factory, global_parameters={"MODE": "full"}).variables["how"] == "everything"
    run = load(factory, global_parameters={"mode": "odd"})
    assert run.activity("Unknown").error["errorCode"] == "NoMode"
    run.assert_failed("Operation on target Mode failed")
    with pytest.raises(ParameterError, match="no global parameter 'moode'"):
        load(factory, global_parameters={"moode": "full"})
    with pytest.raises(ParameterError, match="A trigger has no nam"):
        load(factory, trigger={"nam": "Hourly"})
    invoked = load(factory, trigger={"name": "Hourly", "type": "ScheduleTrigger"}).events[0]["invokedBy"]
    assert (invoked["name"], invoked["invokedByType"]) == ("Hourly", "ScheduleTrigger")


def test_what_cannot_be_meant_is_refused(factory: FactoryUnderTest) -> None:
    with pytest.raises(ParameterError, match="needs a value for 'day'"):
        factory.run("Load")
    with pytest.raises(NotFoundError, match=r"There is no pipeline 'Laod'\. Did you mean 'Load'"):
        factory.run("Laod")
    with pytest.raises(NotFoundError, match=r"mock for 'CopyRegoin'.*Did you mean 'CopyRegion'"):
        load(factory, {"CopyRegoin": None})
    with pytest.raises(ParameterError, match="'Mode' is of the type Switch"):
        load(factory, {"Mode": None})
    with pytest.raises(ParameterError, match="neither 'error' nor 'succeed'"):
        load(factory, unmocked="maybe")
    with pytest.raises(NotFoundError) as raised:
        factory.run("Load", parameters={"day": "d"}, mocks={"Load/Look": REGIONS})
    assert "Without a mock: CopyRegion, Warn, Apologize, Approve, Push." in str(raised.value)


def test_unmocked_activities_can_succeed(factory: FactoryUnderTest) -> None:
    run = factory.run("Load", parameters={"day": "d"}, mocks={"Look": {"value": []}}, unmocked="succeed")
    run.assert_failed().assert_status("Failed", "Publish")  # Push gives no `files`
    assert run.child("Publish").activity("Push").output == {}


def test_assertions_say_what_happened_instead(factory: FactoryUnderTest) -> None:
    run = load(factory, {"CopyRegion": failed("E1", "disk full"), "Apologize": None})
    for attempt, text in (
        (lambda: run.assert_succeeded(), "Load is Failed, not Succeeded. Operation on target EachRegion failed"),
        (lambda: run.assert_failed("tape full"), "does not contain 'tape full'"),
        (lambda: run.assert_status("Succeeded", "CopyRegion"), "CopyRegion is Failed, not Succeeded. disk full"),
        (lambda: run.assert_ran("Publish"), "Did not run: Publish."),
        (lambda: run.assert_not_run("Apologize"), "Ran, but should not have: Apologize."),
        (lambda: run.assert_order("Apologize", "Look"), "Apologize had not ended when Look began."),
        (lambda: run.assert_order("Look", "Publish"), "Publish did not run."),
    ):
        with pytest.raises(AssertionError) as raised:
            attempt()
        assert text in str(raised.value)
        assert "EachRegion/0/CopyRegion (Copy): Failed after 3 attempts - E1: disk full" in str(raised.value)
    with pytest.raises(NotFoundError, match="'Nope'"):
        run.assert_not_run("Nope")
    with pytest.raises(NotFoundError, match=r"'Warm' was not reached by the run of Load\. Did you mean 'Warn'"):
        run.activity("Warm")


def test_two_sessions_give_the_same_ids_and_log(factory: FactoryUnderTest) -> None:
    assert load(factory).events == load(load_factory(FOLDER)).events
