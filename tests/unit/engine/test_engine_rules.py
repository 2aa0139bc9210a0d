"""Rules of the engine that the conformance cases leave out."""

from __future__ import annotations

import pytest

from kyanite.engine import events as ev
from kyanite.engine.state import RunState
from kyanite.errors import InvariantError, ParameterError, StateError
from kyanite.testing.conformance.control_flow import ScriptedRun as Simulation


def after(*names: str) -> list[dict]:
    return [{"activity": name, "dependencyConditions": ["Succeeded"]} for name in names]


def custom(name: str, **more: object) -> dict:
    return {"name": name, "type": "Custom", "typeProperties": {"command": "scripted"}, **more}


def set_variable(name: str, value: object, variable: str = "v", **more: object) -> dict:
    return {"name": name, "type": "SetVariable", "typeProperties": {"variableName": variable, "value": value}, **more}


def pipeline(*activities: dict, name: str = "main", **properties: object) -> dict:
    variables = {"v": {"type": "String"}, "n": {"type": "Integer"}, "a": {"type": "Array"}}
    return {"name": name, "properties": {"activities": list(activities), "variables": variables, **properties}}


def run(*pipelines: dict, outcomes: dict | None = None, parameters: dict | None = None) -> RunState:
    return Simulation(list(pipelines), outcomes).start("main", parameters).state


def test_results_inside_a_finished_if_can_be_read_afterwards() -> None:
    condition = {"expression": {"value": "@equals(1,1)", "type": "Expression"}, "ifTrueActivities": [custom("Inner")]}
    state = run(
        pipeline(
            {"name": "If", "type": "IfCondition", "typeProperties": condition},
            set_variable("Read", "@activity('inner').output.x", dependsOn=after("If")),
        ),
        outcomes={"Inner": [{"status": "Succeeded", "output": {"x": "seen"}}]},
    )
    assert state.variables["v"] == "seen"


def test_results_inside_a_loop_cannot_be_read_outside() -> None:
    loop = {"items": [1], "activities": [custom("Inner")]}
    state = run(
        pipeline(
            {"name": "Loop", "type": "ForEach", "typeProperties": loop},
            set_variable("Read", "@string(activity('Inner').output)", dependsOn=after("Loop")),
        )
    )
    assert state.status == "Failed"
    assert state.activities["Read"].error["errorCode"] == "InvalidTemplate"


def test_activities_waiting_for_each_other_fail_the_run_instead_of_hanging() -> None:
    state = run(pipeline(custom("A", dependsOn=after("B")), custom("B", dependsOn=after("A"))))
    assert (state.status, "'A', 'B' wait for each other" in state.message) == ("Failed", True)


@pytest.mark.parametrize(
    ("value", "variable", "shown"),
    [(1, "v", "'String'"), ("x", "n", "'Integer'"), ("x", "a", "'Array'"), (True, "n", "'Boolean'")],
)
def test_a_value_must_fit_its_variable(value: object, variable: str, shown: str) -> None:
    state = run(pipeline(set_variable("S", value, variable)))
    assert state.status == "Failed" and shown in state.message


def test_an_unknown_variable_is_named_with_the_known_ones() -> None:
    state = run(pipeline(set_variable("S", "x", "nope")))
    assert "no variable 'nope'; it has: v, n, a" in state.message


def test_the_message_of_a_failed_container_names_the_inner_activity() -> None:
    loop = {"items": [1, 2], "activities": [custom("Inner")]}
    state = run(
        pipeline({"name": "Loop", "type": "ForEach", "typeProperties": loop}),
        outcomes={"Inner": [{"status": "Failed", "error": {"message": "no luck"}}]},
    )
    assert state.message == (
        "Operation on target Loop failed: Activity failed because an inner activity failed; "
        "Inner activity name: Inner, Error: no luck"
    )


def test_too_many_items_fail_before_the_first_iteration() -> None:
    loop = {"items": "@range(0, 100001)", "activities": [custom("Inner")]}
    state = run(pipeline({"name": "Loop", "type": "ForEach", "typeProperties": loop}))
    assert state.status == "Failed" and "Inner" not in state.message


def test_nested_runs_have_a_limit() -> None:
    call = {"pipeline": {"referenceName": "main", "type": "PipelineReference"}, "waitOnCompletion": True}
    simulation = Simulation([pipeline({"name": "Call", "type": "ExecutePipeline", "typeProperties": call})])
    state = simulation.start("main").state
    assert state.status == "Failed" and "more than 8 deep" in state.message
    assert len(simulation.runs) == 9


def test_a_loop_without_end_is_ended_by_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kyanite.engine.control.until.UNTIL_TURNS", 20)
    until = {"expression": {"value": "@equals(1,2)", "type": "Expression"}, "activities": [set_variable("S", "x")]}
    state = run(pipeline({"name": "U", "type": "Until", "typeProperties": until}))
    assert "did not end after 20 passes" in state.message


def test_parameters_missing_unknown_and_ill_typed_are_all_named_at_once() -> None:
    declared = {"need": {"type": "string"}, "also": {"type": "Int"}, "flag": {"type": "bool", "defaultValue": True}}
    with pytest.raises(ParameterError) as raised:
        run(pipeline(custom("A"), parameters=declared), parameters={"flag": "maybe", "other": 1})
    text = str(raised.value)
    for part in ("'need' (String)", "'also' (Int)", "'other'", "'flag' is declared Bool but was given String"):
        assert part in text


def test_a_transition_that_the_table_does_not_have_is_refused() -> None:
    simulation = Simulation([pipeline(custom("A"))])
    state = simulation.start("main").state
    with pytest.raises(InvariantError, match="ActivityProgress cannot happen"):
        state.apply(ev.ActivityProgress(at="2026-01-01T00:00:00.000000Z", path="A", output={}))
    with pytest.raises(InvariantError, match="RunEnded cannot happen"):
        state.apply(ev.RunEnded(at="2026-01-01T00:00:00.000000Z", status="Failed"))


def test_an_event_of_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(StateError, match="'Teleported'"):
        ev.from_wire("Teleported", "2026-01-01T00:00:00.000000Z", {})


@pytest.mark.parametrize("kind", sorted(ev.KINDS))
def test_every_event_survives_the_wire(kind: str) -> None:
    known = ev.KINDS[kind]
    values = {name: f"{name}-value" for name in known.__dataclass_fields__}
    event = known(**values)
    wire = ev.to_wire(event)
    assert wire["kind"] == kind
    assert ev.from_wire(kind, wire["at"], {k: v for k, v in wire.items() if k not in ("kind", "at")}) == event


HUGE = "99999999.00:00:00"
UNTIL = {"expression": {"value": "@equals(1,2)", "type": "Expression"}, "activities": [], "timeout": HUGE}
CALL = {"pipeline": {"referenceName": "main", "type": "PipelineReference"}, "parameters": "@string('x')"}


@pytest.mark.parametrize(
    ("activity", "shown"),
    [
        ({"type": "ForEach", "typeProperties": {"items": [1], "batchCount": "abc", "activities": []}}, "batchCount"),
        (
            {"type": "ForEach", "typeProperties": {"items": [1], "batchCount": "@int('3')", "activities": []}},
            "batchCount",
        ),
        ({"type": "Until", "typeProperties": UNTIL}, "longer than the calendar"),
        ({"type": "Wait", "typeProperties": {"waitTimeInSeconds": 10**15}}, "longer than the calendar"),
        ({"type": "Custom", "policy": {"timeout": HUGE}, "typeProperties": {}}, "longer than the calendar"),
        (
            {"type": "Custom", "policy": {"retryIntervalInSeconds": 10**14}, "typeProperties": {}},
            "longer than the calendar",
        ),
        ({"type": "Custom", "policy": {"timeout": "@createArray(1)"}, "typeProperties": {}}, "not Array"),
        ({"type": "ExecutePipeline", "typeProperties": CALL}, "must be an Object, not String"),
    ],
)
def test_odd_definitions_fail_their_activity_and_nothing_else(activity: dict, shown: str) -> None:
    state = run(pipeline({"name": "Odd", **activity}, custom("Other")))
    assert state.status == "Failed" and shown in state.message
    assert state.activities["Other"].status == "Succeeded"


@pytest.mark.parametrize("value", [True, "true", "True "])
def test_a_switch_may_be_written_as_a_text(value: object) -> None:
    loop = {"items": [1, 2, 3], "isSequential": value, "activities": [custom("Inner")]}
    simulation = Simulation([pipeline({"name": "Loop", "type": "ForEach", "typeProperties": loop})])
    assert simulation.start("main").state.status == "Succeeded"
    open_at_once = most = 0
    for event in simulation.main.log:
        open_at_once += isinstance(event, ev.ScopeOpened) - isinstance(event, ev.ScopeClosed)
        most = max(most, open_at_once)
    assert most == 1


def test_a_list_that_was_given_away_is_not_appended_to() -> None:
    grow = {"name": "Grow", "type": "AppendVariable", "typeProperties": {"variableName": "a", "value": "two"}}
    begin = {"name": "Begin", "type": "AppendVariable", "typeProperties": {"variableName": "a", "value": "one"}}
    properties = {"variables": {"a": {"type": "Array"}, "b": {"type": "Array"}}}
    document = pipeline(
        begin,
        set_variable("Copy", "@variables('a')", "b", dependsOn=after("Begin")),
        {**grow, "dependsOn": after("Copy")},
    )
    document["properties"] |= properties
    state = run(document)
    assert state.variables == {"a": ["one", "two"], "b": ["one"]}


def test_a_run_that_takes_long_is_noted_and_goes_on() -> None:
    wait = {"name": "W", "type": "Wait", "typeProperties": {"waitTimeInSeconds": 700}}
    metric = {"elapsedTimeMetric": {"duration": "0.00:10:00"}}
    simulation = Simulation([pipeline(wait, policy=metric)])
    assert simulation.start("main").state.status == "Succeeded"
    (noted,) = [event for event in simulation.main.log if isinstance(event, ev.ElapsedTimeExceeded)]
    assert (noted.seconds, noted.at) == (600, "2026-01-01T00:10:00.000000Z")
    quick = Simulation([pipeline(custom("A"), policy=metric)])
    quick.start("main")
    assert not any(isinstance(event, ev.ElapsedTimeExceeded) for event in quick.main.log)
