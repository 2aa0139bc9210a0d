"""Typed views over raw documents: activities, branches, policies, parameters."""

from __future__ import annotations

from typing import Any

import pytest

from kyanite.definitions.load import load_documents
from kyanite.definitions.model import MISSING, Activity, Dependency, Pipeline
from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import DefinitionError


def pipeline(**properties: Any) -> Pipeline:
    return load_documents("f", [("pipeline", {"name": "P", "properties": properties})]).pipelines["P"]


def activity(**document: Any) -> Activity:
    return pipeline(activities=[{"name": "A", "type": "Copy", **document}]).activities[0]


def test_envelope_with_everything_given() -> None:
    found = activity(
        dependsOn=[{"activity": "B", "dependencyConditions": ["Failed", "Skipped"]}, {"activity": "C"}],
        policy={
            "timeout": "0.12:00:00",
            "retry": 3,
            "retryIntervalInSeconds": 60,
            "secureInput": True,
            "secureOutput": True,
        },
        linkedServiceName={"referenceName": "L"},
        inputs=[{"referenceName": "I"}],
        outputs=[{"referenceName": "O"}],
        userProperties=[{"name": "n", "value": "v"}],
        state="inactive",
        onInactiveMarkAs="failed",
        typeProperties={"source": {}},
    )
    assert found.depends_on == (Dependency("B", ("Failed", "Skipped")), Dependency("C", ("Succeeded",)))
    policy = found.policy
    assert (policy.timeout, policy.retry, policy.retry_interval) == (43_200.0, 3, 60)
    assert policy.secure_input and policy.secure_output
    assert found.linked_service == {"referenceName": "L"}
    assert (found.inputs, found.outputs) == (({"referenceName": "I"},), ({"referenceName": "O"},))
    assert found.user_properties == ({"name": "n", "value": "v"},)
    assert (found.state, found.on_inactive_mark_as) == ("Inactive", "Failed")
    assert found.type_properties == {"source": {}}
    assert found.path == "properties.activities[0]"


def test_envelope_defaults() -> None:
    found = activity()
    assert (found.depends_on, found.inputs, found.linked_service, found.branches) == ((), (), None, {})
    assert (found.state, found.on_inactive_mark_as) == ("Active", "Succeeded")
    policy = found.policy
    assert (policy.timeout, policy.retry, policy.retry_interval) == (604_800.0, 0, 30)
    assert not policy.secure_input and not policy.secure_output


def test_expressions_in_a_policy_stay_text() -> None:
    policy = activity(
        policy={"timeout": {"value": "@variables('t')", "type": "Expression"}, "retry": "@add(1,1)"}
    ).policy
    assert (policy.timeout, policy.retry) == ("@variables('t')", "@add(1,1)")


def test_branches_of_every_container() -> None:
    inner = {"name": "I", "type": "Wait"}
    found = pipeline(
        activities=[
            {"name": "Each", "type": "ForEach", "typeProperties": {"activities": [inner]}},
            {"name": "Until", "type": "until", "typeProperties": {"activities": [inner, inner]}},
            {"name": "If", "type": "IfCondition", "typeProperties": {"ifFalseActivities": [inner]}},
            {
                "name": "Switch",
                "type": "Switch",
                "typeProperties": {
                    "cases": [{"value": "x", "activities": [inner]}, {"value": 2, "activities": []}],
                    "defaultActivities": [inner],
                },
            },
        ]
    )
    counts = {a.name: {branch: len(inside) for branch, inside in a.branches.items()} for a in found.activities}
    assert counts == {
        "Each": {"activities": 1},
        "Until": {"activities": 2},
        "If": {"true": 0, "false": 1},
        "Switch": {"case:x": 1, "case:2": 0, "default": 1},
    }
    switch = found.activities[3]
    assert switch.branches["case:x"][0].path == "properties.activities[3].typeProperties.cases[0].activities[0]"
    assert switch.branches["default"][0].path == "properties.activities[3].typeProperties.defaultActivities[0]"
    assert [a.name for a in found.walk()] == ["Each", "I", "Until", "I", "I", "If", "I", "Switch", "I", "I"]


def test_parameters_variables_and_concurrency() -> None:
    found = pipeline(
        parameters={"p": {"type": "string"}, "q": {"type": "Int", "defaultValue": None}, "s": {"type": "SecureString"}},
        variables={
            "text": {"type": "String"},
            "list": {"type": "Array"},
            "flag": {"type": "Boolean"},
            "set": {"type": "String", "defaultValue": "x"},
        },
        concurrency=3,
    )
    assert found.parameters["P"].default is MISSING
    assert found.parameters["q"].default is None
    assert found.parameters["s"].secure and not found.parameters["p"].secure
    assert {name: v.default for name, v in found.variables.items()} == {
        "text": "",
        "list": [],
        "flag": False,
        "set": "x",
    }
    assert found.concurrency == 3
    assert pipeline(concurrency=0).concurrency is None


def test_malformed_parts_do_not_break_the_views() -> None:
    found = pipeline(
        activities=[7, {"name": "A", "type": "Switch", "dependsOn": {"x": 1}, "typeProperties": {"cases": [None]}}],
        parameters=[],
        variables={"v": "text"},
    )
    assert [a.name for a in found.activities] == ["A"]
    assert found.activities[0].depends_on == ()
    assert (len(found.parameters), found.variables["v"].type) == (0, "String")
    assert pipeline(activities="none").activities == ()


def test_documents_are_never_shown_in_a_repr() -> None:
    found = pipeline(
        activities=[{"name": "A", "type": "Copy", "typeProperties": {"x": "hunter2secret"}}],
        parameters={"p": {"type": "String", "defaultValue": "hunter2secret"}},
        variables={"v": {"type": "String", "defaultValue": "hunter2secret"}},
    )
    factory = load_documents("f", [("pipeline", found.document), ("factory", {"name": "hunter2secret"})])
    for thing in (found, found.activities, dict(found.parameters), dict(found.variables), factory):
        assert "hunter2secret" not in repr(thing)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7.00:00:00", 604_800), ("00:10:00", 600), ("0.12:00:00", 43_200), ("00:60:60", 3_660), ("0.0:10:00", 600)],
)
def test_time_spans(text: str, seconds: float) -> None:
    assert parse_timespan(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "00:61:00", "x", "1.2.00:00:00", "PT5M", "-00:01:00"])
def test_bad_time_spans(text: str) -> None:
    with pytest.raises(DefinitionError, match="not a time span"):
        parse_timespan(text)
