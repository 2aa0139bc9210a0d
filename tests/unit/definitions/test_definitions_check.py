"""Each code of the check has a minimal factory that shows it, and a good factory shows none."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kyanite import limits
from kyanite.definitions import check as check_module
from kyanite.definitions.check import Supported, check
from kyanite.definitions.check_secrets import is_secret_name
from kyanite.definitions.load import load_documents, load_folder
from kyanite.definitions.model import Factory
from kyanite.definitions.problem import Problem, raise_errors
from kyanite.errors import DefinitionError

SUPPORTED = Supported(
    activities=[
        *("AppendVariable", "Copy", "Custom", "ExecutePipeline", "Fail", "Filter", "ForEach", "GetMetadata"),
        *("IfCondition", "Lookup", "SetVariable", "Switch", "Until", "Validation", "Wait", "WebActivity"),
    ],
    datasets=["Parquet"],
    linked_services=["AzureBlobStorage", "AzureBatch"],
    triggers=["ScheduleTrigger", "TumblingWindowTrigger"],
)
ACCOUNT_KEY = "A" * 86 + "=="


def ref(kind: str, name: str, **parameters: Any) -> dict[str, Any]:
    reference: dict[str, Any] = {"referenceName": name, "type": f"{kind}Reference"}
    return reference | ({"parameters": parameters} if parameters else {})


def act(name: str, kind: str = "Wait", after: Any = (), **properties: Any) -> dict[str, Any]:
    defaults = {"waitTimeInSeconds": 1} if kind == "Wait" else {}
    depends = [
        one if isinstance(one, dict) else {"activity": one, "dependencyConditions": ["Succeeded"]} for one in after
    ]
    return {"name": name, "type": kind, "dependsOn": depends, "typeProperties": defaults | properties}


def expr(text: str) -> dict[str, str]:
    return {"value": text, "type": "Expression"}


def copy_activity(name: str = "C", **more: Any) -> dict[str, Any]:
    found = act(name, "Copy", source={"type": "ParquetSource"}, sink={"type": "ParquetSink"})
    return found | {"inputs": [ref("Dataset", "D")], "outputs": [ref("Dataset", "D")]} | more


def custom(command: Any = "python x.py", **properties: Any) -> dict[str, Any]:
    found = act("Cu", "Custom", command=command, **properties)
    return found | {"linkedServiceName": ref("LinkedService", "B")}


def for_each(name: str, *inner: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return act(name, "ForEach", items=expr("@createArray(1)"), activities=list(inner), **properties)


LINKED = {"name": "L", "properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "x"}}}
BATCH = {
    "name": "B",
    "properties": {
        "type": "AzureBatch",
        "typeProperties": {"accountName": "a", "linkedServiceName": ref("LinkedService", "L")},
    },
}
DATASET = {"name": "D", "properties": {"type": "Parquet", "linkedServiceName": ref("LinkedService", "L")}}


def dataset(name: str = "X", **properties: Any) -> tuple[str, dict[str, Any]]:
    return "dataset", {"name": name, "properties": DATASET["properties"] | properties}


def linked(name: str = "X", **properties: Any) -> tuple[str, dict[str, Any]]:
    return "linkedService", {"name": name, "properties": LINKED["properties"] | properties}


def pipeline(name: str = "Q", **parameters: Any) -> tuple[str, dict[str, Any]]:
    return "pipeline", {"name": name, "properties": {"parameters": parameters}}


def trigger(kind: str = "ScheduleTrigger", starts: str = "Q", **parameters: Any) -> tuple[str, dict[str, Any]]:
    start: dict[str, Any] = {"pipelineReference": ref("Pipeline", starts)}
    start |= {"parameters": parameters} if parameters else {}
    many = {"pipeline": start} if kind == "TumblingWindowTrigger" else {"pipelines": [start]}
    return "trigger", {"name": "T", "properties": {"type": kind, **many}}


def call(name: str = "Q", **parameters: Any) -> dict[str, Any]:
    given = {"parameters": parameters} if parameters else {}
    return act("E", "ExecutePipeline", pipeline=ref("Pipeline", name), waitOnCompletion=True, **given)


def wait(seconds: Any) -> dict[str, Any]:
    return act("W", waitTimeInSeconds=seconds)


def variable(name: str, **declaration: Any) -> dict[str, Any]:
    return {"variables": {name: {"type": "String"} | declaration}}


def factory(
    *activities: dict[str, Any], others: Any = (), properties: dict[str, Any] | None = None, name: str = "fab"
) -> Factory:
    pipeline = {"name": "P", "properties": {"activities": list(activities), **(properties or {})}}
    documents = [("pipeline", pipeline), ("linkedService", LINKED), ("linkedService", BATCH), ("dataset", DATASET)]
    return load_documents(name, [*documents, *others])


def found(built: Factory) -> list[tuple[str, str, str]]:
    return [(problem.severity, problem.code, problem.path) for problem in check(built, supported=SUPPORTED)]


TYPE_PROPERTIES = "properties.activities[0].typeProperties"
STRING_VARIABLE = {"variables": {"v": {"type": "String"}, "w": {"type": "String"}, "list": {"type": "Array"}}}

# code -> (factory, severity, JSON path, a part of message or cure)
BAD: dict[str, list[tuple[Factory, str, str, str]]] = {
    "BadFactoryName": [(factory(name="a_b"), "warning", "name", "'a_b'"), (factory(name="ab"), "warning", "name", "3")],
    "BadName": [
        (factory(others=[("dataset", DATASET | {"name": "a.b"})]), "error", "name", "'a.b'"),
        (factory(act("a/b")), "error", "properties.activities[0].name", "'a/b'"),
    ],
    "PropertiesMissing": [
        (factory(others=[("pipeline", {"name": "Q"})]), "error", "properties", "no properties"),
    ],
    "TypeMissing": [
        (factory(others=[("linkedService", {"name": "X", "properties": {}})]), "error", "properties.type", "no type"),
        (factory({"name": "A"}), "error", "properties.activities[0].type", "no type"),
    ],
    "NameMissing": [(factory(act("")), "error", "properties.activities[0].name", "no name")],
    "NotAList": [
        (factory(properties={"activities": {}}), "error", "properties.activities", "no list"),
        (factory(act("A") | {"dependsOn": {}}), "error", "properties.activities[0].dependsOn", "no list"),
        (factory(act("S", "Switch", on="x", cases={})), "error", f"{TYPE_PROPERTIES}.cases", "no list"),
        (
            factory(act("A"), act("B", after=[{"activity": "A", "dependencyConditions": "Succeeded"}])),
            "error",
            "properties.activities[1].dependsOn[0].dependencyConditions",
            "no list",
        ),
    ],
    "NotAnObject": [
        (factory(properties={"activities": [7]}), "error", "properties.activities[0]", "no object"),
        (factory(act("A") | {"policy": []}), "error", "properties.activities[0].policy", "no object"),
        (factory(properties={"parameters": [1]}), "error", "properties.parameters", "no object"),
    ],
    "BadType": [
        (factory(properties={"variables": {"v": {"type": "Object"}}}), "error", "properties.variables.v", "string"),
        (factory(properties={"parameters": {"p q": {}}}), "error", "properties.parameters['p q']", "securestring"),
    ],
    "DefaultDoesNotFit": [
        (
            factory(properties={"variables": {"v": {"type": "Array", "defaultValue": "x"}}}),
            "warning",
            "properties.variables.v.defaultValue",
            "type Array",
        ),
        (
            factory(properties={"parameters": {"p": {"type": "int", "defaultValue": True}}}),
            "warning",
            "properties.parameters.p.defaultValue",
            "type int",
        ),
    ],
    "DuplicateCase": [
        (
            factory(act("S", "Switch", on="x", cases=[{"value": "a", "activities": []}, {"value": "a"}])),
            "error",
            f"{TYPE_PROPERTIES}.cases[1].value",
            "'a'",
        )
    ],
    "BadValue": [
        (factory(properties={"concurrency": 0}), "error", "properties.concurrency", "1 or more"),
        (factory(act("A") | {"policy": {"retry": -1}}), "error", "properties.activities[0].policy.retry", "0 or more"),
    ],
    "BrokenReference": [
        (
            factory(copy_activity(inputs=[ref("Dataset", "DD")])),
            "error",
            "properties.activities[0].inputs[0].referenceName",
            "Did you mean 'D'",
        ),
        (
            factory(call("Nope")),
            "error",
            f"{TYPE_PROPERTIES}.pipeline.referenceName",
            "no pipeline 'Nope'",
        ),
        (
            factory(others=[dataset(linkedServiceName=ref("LinkedService", "N"))]),
            "error",
            "properties.linkedServiceName.referenceName",
            "no linked service 'N'",
        ),
        (
            factory(others=[linked(connectVia=ref("IntegrationRuntime", "I"))]),
            "warning",
            "properties.connectVia.referenceName",
            "no integration runtime 'I'",
        ),
        (
            factory(others=[trigger()]),
            "error",
            "properties.pipelines[0].pipelineReference.referenceName",
            "no pipeline 'Q'",
        ),
        (
            factory(others=[trigger("TumblingWindowTrigger")]),
            "error",
            "properties.pipeline.pipelineReference.referenceName",
            "no pipeline 'Q'",
        ),
        (
            factory(custom(referenceObjects={"linkedServices": [ref("LinkedService", "N")], "datasets": []})),
            "error",
            f"{TYPE_PROPERTIES}.referenceObjects.linkedServices[0].referenceName",
            "no linked service 'N'",
        ),
    ],
    "WrongReferenceType": [
        (
            factory(copy_activity(inputs=[ref("LinkedService", "L")])),
            "error",
            "properties.activities[0].inputs[0].type",
            "DatasetReference",
        ),
        (factory(act("G", "GetMetadata", dataset="D")), "error", f"{TYPE_PROPERTIES}.dataset", "given as a text"),
    ],
    "BadReference": [
        (
            factory(copy_activity(inputs=[{"referenceName": expr("@item()"), "type": "DatasetReference"}])),
            "error",
            "properties.activities[0].inputs[0].referenceName",
            "never evaluated",
        )
    ],
    "UnknownParameter": [
        (
            factory(copy_activity(inputs=[ref("Dataset", "D", nope=1)])),
            "error",
            "properties.activities[0].inputs[0].parameters.nope",
            "dataset 'D' has no parameter 'nope'",
        ),
        (
            factory(
                wait("@pipeline().parameters.seconds"),
                properties={"parameters": {"second": {"type": "int", "defaultValue": 1}}},
            ),
            "error",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 24",
            "Did you mean 'second'",
        ),
        (
            factory(others=[dataset(typeProperties={"f": "@dataset().nope"})]),
            "error",
            "properties.typeProperties.f, position 12",
            "dataset() has no parameter 'nope'",
        ),
        (
            factory(call(x=1), others=[pipeline()]),
            "error",
            f"{TYPE_PROPERTIES}.parameters.x",
            "pipeline 'Q' has no parameter 'x'",
        ),
    ],
    "MissingParameter": [
        (
            factory(
                call(), others=[pipeline(a={"type": "int"}, b={"type": "int"}, c={"type": "int", "defaultValue": 1})]
            ),
            "error",
            f"{TYPE_PROPERTIES}.parameters",
            "needs a value for 'a', 'b'",
        ),
        (
            factory(others=[trigger(), pipeline(a={"type": "int"})]),
            "error",
            "properties.pipelines[0].parameters",
            "needs a value for 'a'",
        ),
        (
            factory(
                copy_activity(inputs=[ref("Dataset", "X")]), others=[dataset(parameters={"a": {"type": "string"}})]
            ),
            "error",
            "properties.activities[0].inputs[0].parameters",
            "dataset 'X' needs a value for 'a'",
        ),
    ],
    "DuplicateActivity": [
        (
            factory(act("A"), for_each("F", act("a"))),
            "error",
            "properties.activities[1].typeProperties.activities[0].name",
            "the first is properties.activities[0]",
        )
    ],
    "BadDependency": [(factory(act("A", after=[{}])), "error", "properties.activities[0].dependsOn[0]", "no activity")],
    "SelfDependency": [
        (factory(act("A", after=["a"])), "error", "properties.activities[0].dependsOn[0].activity", "itself")
    ],
    "UnknownDependency": [
        (
            factory(act("Copy1"), act("B", after=["Copi1"])),
            "error",
            "properties.activities[1].dependsOn[0].activity",
            "Did you mean 'Copy1'",
        ),
        (
            factory(for_each("F", act("Inner")), act("B", after=["Inner"])),
            "error",
            "properties.activities[1].dependsOn[0].activity",
            "depend on the container",
        ),
    ],
    "UnknownCondition": [
        (
            factory(act("A"), act("B", after=[{"activity": "A", "dependencyConditions": ["Success"]}])),
            "error",
            "properties.activities[1].dependsOn[0].dependencyConditions[0]",
            "Did you mean 'Succeeded'",
        )
    ],
    "DependencyCycle": [
        (
            factory(act("A", after=["C"]), act("B", after=["A"]), act("C", after=["B"]), act("D", after=["C"])),
            "error",
            "properties.activities[0].dependsOn",
            "'A' -> 'C' -> 'B' -> 'A'",
        )
    ],
    "UnsupportedType": [
        (factory(act("A", "DatabricksNotebook")), "error", "properties.activities[0].type", "does not run it"),
        (
            factory(act("A", "DatabricksNotebook") | {"state": "Inactive"}),
            "warning",
            "properties.activities[0].type",
            "Supported activity types: AppendVariable, Copy",
        ),
        (
            factory(others=[dataset(type="AzureSqlTable")]),
            "warning",
            "properties.type",
            "Supported dataset types: Parquet",
        ),
        (
            factory(copy_activity(inputs=[ref("Dataset", "X")]), others=[dataset(type="AzureSqlTable")]),
            "error",
            "properties.type",
            "'AzureSqlTable' exists in Data Factory",
        ),
        (
            factory(
                copy_activity(inputs=[ref("Dataset", "X")]),
                others=[dataset(linkedServiceName=ref("LinkedService", "S")), linked("S", type="Salesforce")],
            ),
            "error",
            "properties.type",
            "linked service type 'Salesforce'",
        ),
        (
            factory(others=[("trigger", {"name": "T", "properties": {"type": "ChainingTrigger"}})]),
            "warning",
            "properties.type",
            "Supported trigger types: ScheduleTrigger, Tumb",
        ),
    ],
    "UnknownType": [(factory(act("A", "Cpoy")), "error", "properties.activities[0].type", "Did you mean 'Copy'")],
    "MissingProperty": [
        (factory(act("A", "Lookup", dataset=ref("Dataset", "D"))), "error", f"{TYPE_PROPERTIES}.source", "no source"),
        (factory(act("A", "Custom", command="x")), "error", "properties.activities[0].linkedServiceName", "Batch"),
        (factory(custom(folderPath="code")), "error", f"{TYPE_PROPERTIES}.folderPath", "belong together"),
        (
            factory(copy_activity(typeProperties={"source": {}, "sink": {"type": "ParquetSink"}})),
            "error",
            f"{TYPE_PROPERTIES}.source",
            "no type",
        ),
        (
            factory(others=[("dataset", {"name": "X", "properties": {"type": "Parquet"}})]),
            "error",
            "properties.linkedServiceName",
            "no linked service",
        ),
        (factory(act("S", "Switch", on="x", cases=[{}])), "error", f"{TYPE_PROPERTIES}.cases[0]", "no value"),
    ],
    "WrongCount": [(factory(copy_activity(inputs=[])), "error", "properties.activities[0].inputs", "has 0 inputs")],
    "WrongLinkedServiceType": [
        (
            factory(custom() | {"linkedServiceName": ref("LinkedService", "L")}),
            "error",
            "properties.activities[0].linkedServiceName",
            "AzureBatch",
        ),
        (
            factory(custom(resourceLinkedService=ref("LinkedService", "B"), folderPath="x")),
            "error",
            f"{TYPE_PROPERTIES}.resourceLinkedService",
            "AzureBlobStorage",
        ),
    ],
    "NotAnExpression": [
        (
            factory(act("I", "IfCondition", expression=expr("equals(1,1)"))),
            "error",
            f"{TYPE_PROPERTIES}.expression",
            "@",
        ),
        (factory(act("I", "IfCondition", expression="@{equals(1,1)}")), "error", f"{TYPE_PROPERTIES}.expression", "@"),
        (factory(act("F", "ForEach", items="abc", activities=[])), "error", f"{TYPE_PROPERTIES}.items", "an array"),
    ],
    "BadTimeout": [
        (
            factory(act("A") | {"policy": {"timeout": "10 minutes"}}),
            "error",
            "properties.activities[0].policy.timeout",
            "'10 minutes'",
        ),
        (
            factory(act("U", "Until", expression="@bool(1)", activities=[], timeout="PT5M")),
            "error",
            f"{TYPE_PROPERTIES}.timeout",
            "'PT5M'",
        ),
    ],
    "WaitNotStated": [
        (
            factory(act("E", "ExecutePipeline", pipeline=ref("Pipeline", "Q")), others=[pipeline()]),
            "warning",
            f"{TYPE_PROPERTIES}.waitOnCompletion",
            "false is taken",
        )
    ],
    "PipelineCallsItself": [
        (
            factory(call("p")),
            "warning",
            f"{TYPE_PROPERTIES}.pipeline",
            "'P' -> 'P'",
        )
    ],
    "UnknownVariable": [
        (
            factory(act("S", "SetVariable", variableName="vv", value="x"), properties=STRING_VARIABLE),
            "error",
            f"{TYPE_PROPERTIES}.variableName",
            "no variable 'vv'",
        ),
        (
            factory(wait("@int(variables('nope'))")),
            "error",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 16",
            "no variable 'nope'",
        ),
    ],
    "VariableReadsItself": [
        (
            factory(
                act("S", "SetVariable", variableName="v", value=expr("@concat(variables('V'), 'x')")),
                properties=STRING_VARIABLE,
            ),
            "error",
            f"{TYPE_PROPERTIES}.value",
            "second variable",
        )
    ],
    "VariableTypeMismatch": [
        (
            factory(act("S", "AppendVariable", variableName="v", value="x"), properties=STRING_VARIABLE),
            "error",
            f"{TYPE_PROPERTIES}.variableName",
            "appends to 'v'",
        ),
        (
            factory(act("S", "SetVariable", variableName="list", value="x"), properties=STRING_VARIABLE),
            "error",
            f"{TYPE_PROPERTIES}.value",
            "type Array",
        ),
    ],
    "VariableRace": [
        (
            factory(for_each("F", act("S", "SetVariable", variableName="v", value="x")), properties=STRING_VARIABLE),
            "warning",
            f"{TYPE_PROPERTIES}.activities[0].typeProperties.variableName",
            "isSequential",
        )
    ],
    "SecondReturnValue": [
        (
            factory(
                *(
                    act(n, "SetVariable", setSystemVariable=True, variableName="pipelineReturnValue", value=[])
                    for n in "AB"
                )
            ),
            "warning",
            "properties.activities[1]",
            "last one",
        )
    ],
    "BadExpression": [
        (
            factory(wait(expr("@add(1,"))),
            "error",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds.value, position 8",
            "",
        ),
        (
            factory(wait("@conkat('1')")),
            "error",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 2",
            "concat",
        ),
    ],
    "UnknownActivity": [
        (
            factory(act("First"), act("W", after=["First"], waitTimeInSeconds="@activity('Frist').output.x")),
            "error",
            "properties.activities[1].typeProperties.waitTimeInSeconds, position 11",
            "Did you mean 'First'",
        )
    ],
    "ActivityNotUpstream": [
        (
            factory(act("First"), wait("@activity('First').output.x")),
            "error",
            "properties.activities[1].typeProperties.waitTimeInSeconds, position 11",
            "depend on 'First'",
        ),
        (
            factory(
                for_each("F", act("Inner")), act("W", after=["F"], waitTimeInSeconds="@activity('Inner').output.x")
            ),
            "error",
            "properties.activities[1].typeProperties.waitTimeInSeconds, position 11",
            "AppendVariable",
        ),
    ],
    "ItemOutsideLoop": [
        (factory(wait("@item()")), "error", f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 2", "ForEach"),
        (
            factory(act("F", "Filter", items="@item()", condition="@bool(item())")),
            "error",
            f"{TYPE_PROPERTIES}.items, position 2",
            "Filter",
        ),
    ],
    "UnknownGlobalParameter": [
        (
            factory(wait("@pipeline().globalParameters.env")),
            "error",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 30",
            "no global parameter 'env'",
        )
    ],
    "UnknownSystemVariable": [
        (
            factory(wait("@pipeline().RunID2")),
            "error",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 13",
            "'RunId'",
        )
    ],
    "FailsOnManualRun": [
        (
            factory(wait("@pipeline().TriggeredByPipelineRunId")),
            "warning",
            f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 13",
            "pipeline()?.",
        )
    ],
    "WrongScope": [
        (factory(wait("@dataset().x")), "error", f"{TYPE_PROPERTIES}.waitTimeInSeconds, position 12", "dataset"),
        (
            factory(others=[trigger(a="@variables('x')"), pipeline(a={"type": "string"})]),
            "error",
            "properties.pipelines[0].parameters.a, position 12",
            "trigger()",
        ),
    ],
    "OutsideScope": [
        (
            factory(others=[dataset(typeProperties={"f": "@pipeline().RunId"})]),
            "warning",
            "properties.typeProperties.f, position 13",
            "Declare a parameter",
        )
    ],
    "LimitOfService": [
        (factory(*(act(f"W{i}") for i in range(121))), "warning", "properties.activities", "121 activities"),
        (
            factory(properties={"parameters": {f"p{i}": {"type": "int"} for i in range(51)}}),
            "warning",
            "properties.parameters",
            "51 parameters",
        ),
        (factory(act("n" * 56)), "warning", "properties.activities[0].name", "55"),
        (factory(for_each("F", batchCount=51)), "warning", f"{TYPE_PROPERTIES}.batchCount", "50"),
        (
            factory(act("S", "Switch", on="x", cases=[{"value": str(i)} for i in range(26)])),
            "warning",
            f"{TYPE_PROPERTIES}.cases",
            "26 cases",
        ),
        (
            factory(act("A") | {"policy": {"retryIntervalInSeconds": 29}}),
            "warning",
            "properties.activities[0].policy.retryIntervalInSeconds",
            "30",
        ),
        (factory(properties={"annotations": ["x" * 205_000]}), "warning", "", "bytes of JSON"),
    ],
    "NestingOfService": [
        (factory(for_each("F", for_each("G"))), "warning", f"{TYPE_PROPERTIES}.activities[0]", "inside ForEach ('F')"),
        (
            factory(act("I", "IfCondition", expression="@bool(1)", ifTrueActivities=[act("S", "Switch", on="x")])),
            "warning",
            f"{TYPE_PROPERTIES}.ifTrueActivities[0]",
            "inside IfCondition",
        ),
    ],
    "SecretOnCommandLine": [
        (
            factory(custom(expr("@concat('x ', variables('storageKey'))")), properties=variable("storageKey")),
            "warning",
            f"{TYPE_PROPERTIES}.command.value",
            "the variable 'storageKey'",
        ),
        (
            factory(custom("@variables('plain')"), properties=variable("plain", defaultValue=ACCOUNT_KEY)),
            "warning",
            f"{TYPE_PROPERTIES}.command",
            "linkedServices.json",
        ),
        (
            factory(custom("@pipeline().parameters.p"), properties={"parameters": {"p": {"type": "SecureString"}}}),
            "warning",
            f"{TYPE_PROPERTIES}.command",
            "the parameter 'p'",
        ),
        (factory(custom(f"run --account AccountKey={ACCOUNT_KEY}")), "warning", f"{TYPE_PROPERTIES}.command", "itself"),
        (
            factory(
                act(
                    "W",
                    "WebActivity",
                    method="GET",
                    url="https://x",
                    headers={"Authorization": "@variables('apiToken')"},
                ),
                properties=variable("apiToken"),
            ),
            "warning",
            f"{TYPE_PROPERTIES}.headers.Authorization",
            "policy.secureInput",
        ),
        (
            factory(
                custom("@pipeline().globalParameters.sas"),
                others=[
                    ("globalParameters", {"name": "default", "properties": {"sas": {"type": "string", "value": "x"}}})
                ],
            ),
            "warning",
            f"{TYPE_PROPERTIES}.command",
            "the global parameter 'sas'",
        ),
    ],
}


@pytest.mark.parametrize(("code", "index"), [(code, i) for code, cases in BAD.items() for i in range(len(cases))])
def test_each_problem_is_found_at_its_place_and_alone(code: str, index: int) -> None:
    built, severity, path, part = BAD[code][index]
    problems = check(built, supported=SUPPORTED)
    assert [(problem.severity, problem.code, problem.path) for problem in problems] == [(severity, code, path)]
    [problem] = problems
    assert part in f"{problem.message} {problem.cure}"
    assert problem.message.endswith(".") and problem.cure
    assert ACCOUNT_KEY not in str(problem)


def test_every_code_of_the_check_has_a_case() -> None:
    source = Path(check_module.__file__).parent
    used: set[str] = set()
    for path in source.glob("check_*.py"):
        text = path.read_text("utf-8")
        used |= set(re.findall(r'(?:error|warning|report)\(\s*"([A-Z]\w+)"', text))
        used |= set(re.findall(r'Problem\(severity, "([A-Z]\w+)"', text))
        used |= set(re.findall(r'yield "([A-Z]\w+)"', text))
    used |= {"TypeMissing", "NameMissing", "NotAList", "NotAnObject", "UnknownVariable", "UnknownGlobalParameter"}
    assert used - {"TooManyNestedRuns"} == set(BAD)


def good() -> Factory:
    """A factory that uses what the check looks at, with no mistake in it."""
    return factory(
        copy_activity("Copy1", inputs=[ref("Dataset", "X", file="@pipeline().parameters.file")]),
        for_each(
            "Loop",
            act("Append", "AppendVariable", variableName="LIST", value=expr("@item().name")),
            act(
                "If1",
                "IfCondition",
                after=["Append"],
                expression=expr("@equals(activity('copy1').output.rowsCopied, item())"),
                ifTrueActivities=[act("W1", waitTimeInSeconds="@item()")],
            ),
        )
        | {"dependsOn": [{"activity": "Copy1", "dependencyConditions": ["completed", "Skipped"]}]},
        act("Keep", "Filter", items=expr("@variables('list')"), condition=expr("@greater(item(), 1)")),
        act(
            "Repeat",
            "Until",
            activities=[act("Look", "Lookup", source={"type": "ParquetSource"}, dataset=ref("Dataset", "D"))],
            expression=expr("@bool(activity('Look').output.firstRow.done)"),
            timeout="0.01:00:00",
        ),
        for_each("One", act("Set", "SetVariable", variableName="v", value="@item()"), isSequential=True),
        act("Set2", "SetVariable", variableName="w", value=expr("@variables('v')")),
        act(
            "Call",
            "ExecutePipeline",
            pipeline=ref("Pipeline", "Q"),
            parameters={"A": "@pipeline()?.TriggeredByPipelineName"},
            waitOnCompletion=True,
        ),
        custom(
            expr("@concat('run ', variables('v'), pipeline().globalParameters.env)"),
            resourceLinkedService=ref("LinkedService", "L"),
            folderPath="code",
            extendedProperties={"referenceName": "free", "dataset": "free"},
        )
        | {"policy": {"timeout": expr("@variables('v')"), "retry": 2, "retryIntervalInSeconds": 30}},
        act("Web", "WebActivity", method="POST", url="https://x", body={"key": "@variables('v')", "type": "x"}),
        others=[
            (
                "dataset",
                {
                    "name": "X",
                    "properties": DATASET["properties"]
                    | {
                        "parameters": {"file": {"type": "string"}, "dir": {"type": "string", "defaultValue": ""}},
                        "typeProperties": {"location": {"fileName": "@dataset().file", "folderPath": "@dataset().dir"}},
                        "linkedServiceName": ref("LinkedService", "M", account="@dataset().dir"),
                    },
                },
            ),
            (
                "linkedService",
                {
                    "name": "M",
                    "properties": {
                        "type": "AzureBlobStorage",
                        "parameters": {"account": {"type": "String"}},
                        "connectVia": ref("IntegrationRuntime", "AutoResolveIntegrationRuntime"),
                        "typeProperties": {"serviceEndpoint": "https://@{linkedService().account}.blob"},
                    },
                },
            ),
            pipeline(a={"type": "string"}),
            (
                "trigger",
                {
                    "name": "T",
                    "properties": {
                        "type": "ScheduleTrigger",
                        "pipelines": [
                            {"pipelineReference": ref("Pipeline", "q"), "parameters": {"a": "@trigger().scheduledTime"}}
                        ],
                    },
                },
            ),
            ("globalParameters", {"name": "default", "properties": {"env": {"type": "string", "value": "dev"}}}),
        ],
        properties={**STRING_VARIABLE, "parameters": {"file": {"type": "string"}}},
    )


@pytest.mark.parametrize("kind", ["Until", "IfCondition"])
def test_activities_of_a_finished_container_can_be_read(kind: str) -> None:
    members = {"Until": "activities", "IfCondition": "ifTrueActivities"}
    container = act("Container", kind, expression="@bool(1)", **{members[kind]: [act("Inner")]})
    reader = act("Reader", after=["Container"], waitTimeInSeconds="@activity('Inner').output.x")
    assert found(factory(container, reader)) == []
    early = factory(container, act("Reader", waitTimeInSeconds="@activity('Inner').output.x"))
    [problem] = check(early, supported=SUPPORTED)
    assert (problem.code, "depend on the container" in problem.cure) == ("ActivityNotUpstream", True)


def test_references_of_other_services_and_missing_credentials_do_not_stop_a_run() -> None:
    notebook = act("G", "GetMetadata", dataset=ref("Dataset", "D"), notebook=ref("Notebook", "x"))
    assert found(factory(notebook)) == []
    with_credential = linked(typeProperties={"credential": ref("Credential", "c")})
    assert [(s, c) for s, c, _ in found(factory(others=[with_credential]))] == [("warning", "BrokenReference")]


def test_no_parameters_may_be_written_as_an_empty_list() -> None:
    assert found(factory(others=[dataset(parameters=[])])) == []


def test_a_good_factory_has_no_problem() -> None:
    assert found(good()) == []


def test_all_mistakes_come_in_one_pass_with_those_met_while_reading() -> None:
    files = {
        "pipeline/Broken.json": '{"name": ',
        "pipeline/P.json": json.dumps(
            {
                "name": "P",
                "properties": {
                    "activities": [
                        copy_activity(inputs=[ref("Dataset", "Missing")]),
                        act("A", "Cpoy"),
                        act("B", after=["Nobody"]),
                        act("C", after=[{"activity": "A", "dependencyConditions": ["Sometimes"]}]),
                        wait("@conkat('1')"),
                        act("V", waitTimeInSeconds="@variables('nope')"),
                        act("S", "SetVariable", variableName="v", value="@variables('v')"),
                        act("T") | {"policy": {"timeout": "soon"}},
                        act("I", waitTimeInSeconds="@item()"),
                        for_each("F", for_each("G")),
                    ],
                    "variables": {"v": {"type": "String"}},
                },
            }
        ),
        "dataset/D.json": json.dumps(DATASET),
        "linkedService/L.json": json.dumps(LINKED),
    }
    problems = check(load_folder(files, name="fab"), supported=SUPPORTED)
    assert sorted(problem.code for problem in problems) == sorted(
        [
            "BrokenJson",
            "BrokenReference",
            "DuplicateActivity",
            "UnknownType",
            "UnknownDependency",
            "UnknownCondition",
            "BadExpression",
            "UnknownVariable",
            "VariableReadsItself",
            "BadTimeout",
            "ItemOutsideLoop",
            "NestingOfService",
        ]
    )
    assert problems[0].file == "pipeline/Broken.json:1:10"
    assert {problem.file for problem in problems[1:]} == {"pipeline/P.json"}
    with pytest.raises(DefinitionError, match="11 problems"):
        raise_errors(problems)


def test_raising_needs_an_error() -> None:
    raise_errors([Problem("warning", "X", "f", "", "m", "c")])
    with pytest.raises(DefinitionError, match="f: p: m c"):
        raise_errors([Problem("error", "X", "f", "p", "m", "c")])


def chain(length: int) -> Factory:
    """`length` pipelines, each starting the next one."""
    call = [
        act("E", "ExecutePipeline", pipeline=ref("Pipeline", f"P{i + 1}"), waitOnCompletion=True) for i in range(length)
    ]
    return load_documents(
        "fab",
        [
            ("pipeline", {"name": f"P{i}", "properties": {"activities": [call[i]] if i < length - 1 else []}})
            for i in range(length)
        ],
    )


def test_nested_runs_are_limited_exactly() -> None:
    assert found(chain(limits.NESTED_RUNS + 1)) == []
    [problem] = check(chain(limits.NESTED_RUNS + 2), supported=SUPPORTED)
    assert (problem.severity, problem.code, problem.file) == ("error", "TooManyNestedRuns", "pipeline/P0.json")


def test_a_circle_of_calls_is_told_once() -> None:
    def calls(name: str, other: str) -> tuple[str, dict[str, Any]]:
        activity = act("E", "ExecutePipeline", pipeline=ref("Pipeline", other), waitOnCompletion=True)
        return "pipeline", {"name": name, "properties": {"activities": [activity]}}

    built = load_documents("fab", [calls("Start", "A"), calls("A", "B"), calls("B", "A")])
    assert [(p.code, p.file) for p in check(built, supported=SUPPORTED)] == [("PipelineCallsItself", "pipeline/B.json")]


def test_a_hidden_input_silences_the_secret_warning() -> None:
    built = factory(
        custom("@variables('key')") | {"policy": {"secureInput": True}},
        properties=variable("key"),
    )
    assert found(built) == []


@pytest.mark.parametrize(
    "name", ["storageKey", "STORAGE_KEY", "sas_token", "dbPassword", "SASUrl", "clientSecret", "key1"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["monkey", "keyboard", "tokenizer", "Kansas", "fileName", "secretary", "KeyVault", "keyVault_Name", "KeyId"]
)
def test_names_that_only_sound_like_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_sealed_values_count_as_secrets() -> None:
    variables = {"variables": {"x": {"type": "String", "defaultValue": "~secret:0123456789abcdef01234567:raw~"}}}
    assert [code for _, code, _ in found(factory(custom("@variables('x')"), properties=variables))] == [
        "SecretOnCommandLine"
    ]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


GOOD = {(resource.kind, resource.name): resource.document for resource in good().resources}
PLACES = [(key, place) for key, document in GOOD.items() for place in _places(document) if place and place != ("name",)]
junk = st.sampled_from(
    [None, True, 7, "", "@", "@item()", "x", [], {}, [7], [{}], {"x": 1}, [None], {"type": "Expression"}]
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=3))
def test_no_document_breaks_the_check(changes: list[tuple[Any, Any]]) -> None:
    documents = copy.deepcopy(GOOD)
    for (key, place), value in changes:
        target: Any = documents[key]
        for step in place[:-1]:
            inside = isinstance(target, dict) and step in target
            inside = inside or (isinstance(target, list) and isinstance(step, int) and step < len(target))
            if not inside:
                break
            target = target[step]
        else:
            if isinstance(target, dict) or (isinstance(target, list) and place[-1] in range(len(target))):
                target[place[-1]] = value
    built = load_documents("fab", [(kind, document) for (kind, _), document in documents.items()])
    for problem in check(built, supported=SUPPORTED):
        assert problem.message and problem.cure and problem.file
