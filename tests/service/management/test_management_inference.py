"""Types that azure-mgmt-datafactory 10.0.0 loses: told from what is left, or refused by the name of the defect."""

from __future__ import annotations

from typing import Any

import pytest

from kyanite.server.management.arm import ArmError
from kyanite.server.management.datafactory.inference import infer_types
from management_kit import FACTORY, Front

STORE = {"type": "LinkedServiceReference", "referenceName": "Store"}
LOCATION = {"container": "c", "type": "AzureBlobStorageLocation"}


@pytest.mark.parametrize(
    ("given", "properties", "wanted"),
    [
        ("Execution", {"command": "echo", "folderPath": "x"}, "Custom"),
        ("Execution", {"source": {"type": "ParquetSource"}, "sink": {"type": "ParquetSink"}}, "Copy"),
        ("Execution", {"source": {"type": "ParquetSource"}, "dataset": {}}, "Lookup"),
        ("Container", {"waitTimeInSeconds": 1}, "Wait"),
        ("Container", {"pipeline": {"referenceName": "P"}}, "ExecutePipeline"),
        ("Container", {"items": {}, "activities": []}, "ForEach"),
        ("Container", {"items": {}, "condition": {}}, "Filter"),
        ("Container", {"expression": {}, "activities": []}, "Until"),
        ("Container", {"expression": {}, "ifTrueActivities": []}, "IfCondition"),
        ("Container", {"on": {}, "cases": []}, "Switch"),
        ("Container", {"message": "m", "errorCode": "1"}, "Fail"),
        (None, {"method": "GET", "url": "u"}, "WebActivity"),
    ],
)
def test_activities(given: str | None, properties: dict[str, Any], wanted: str) -> None:
    activity: dict[str, Any] = {"name": "a", "type": given, "typeProperties": properties}
    if given is None:
        del activity["type"]
    warnings: list[str] = []
    infer_types("pipeline", {"activities": [activity]}, warnings)
    assert activity["type"] == wanted
    assert len(warnings) == 1
    assert wanted in warnings[0]


@pytest.mark.parametrize(
    ("kind", "properties", "wanted"),
    [
        (
            "linkedService",
            {"connectionString": {"type": "SecureString", "value": "AccountName=a;AccountKey=b"}},
            "AzureBlobStorage",
        ),
        ("linkedService", {"accountName": "a", "poolName": "p", "batchUri": "u"}, "AzureBatch"),
        ("linkedService", {"url": "https://a.dfs.core.windows.net"}, "AzureBlobFS"),
        ("dataset", {"location": {**LOCATION, "fileName": "NewFile.parq"}}, "Parquet"),
        ("dataset", {"location": LOCATION, "columnDelimiter": ","}, "DelimitedText"),
        ("trigger", {"recurrence": {"frequency": "Minute"}}, "ScheduleTrigger"),
        ("trigger", {"frequency": "Hour", "interval": 1}, "TumblingWindowTrigger"),
        ("trigger", {"events": [], "scope": "s"}, "BlobEventsTrigger"),
    ],
)
def test_other_documents(kind: str, properties: dict[str, Any], wanted: str) -> None:
    document: dict[str, Any] = {"typeProperties": properties}
    if kind == "trigger":
        document["type"] = "MultiplePipelineTrigger"
    warnings: list[str] = []
    infer_types(kind, document, warnings)
    assert document["type"] == wanted
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (
            "pipeline",
            {"activities": [{"name": "a", "type": "Container", "typeProperties": {"variableName": "v", "value": 1}}]},
        ),
        ("pipeline", {"activities": [{"name": "a", "type": "Execution", "typeProperties": {}}]}),
        ("dataset", {"typeProperties": {"location": LOCATION}}),
        ("linkedService", {"typeProperties": {"url": "https://somewhere"}}),
        ("trigger", {"type": "MultiplePipelineTrigger", "typeProperties": {}}),
    ],
)
def test_what_could_be_several_kinds_is_refused(kind: str, document: dict[str, Any]) -> None:
    with pytest.raises(ArmError, match=r"azure-mgmt-datafactory 10\.0\.0"):
        infer_types(kind, document, [])


def test_real_types_and_inner_activities() -> None:
    inner = {"name": "i", "type": "Container", "typeProperties": {"waitTimeInSeconds": 1}}
    case = {"value": "x", "activities": [dict(inner)]}
    switch = {
        "name": "s",
        "type": "Switch",
        "typeProperties": {"on": {}, "cases": [case], "defaultActivities": [dict(inner)]},
    }
    loop = {"name": "l", "type": "ForEach", "typeProperties": {"items": {}, "activities": [dict(inner), switch]}}
    warnings: list[str] = []
    infer_types("pipeline", {"activities": [loop, "no object", {"name": "x", "type": 5}]}, warnings)
    assert len(warnings) == 3
    assert case["activities"][0]["type"] == "Wait"
    for document in ({"type": "Odd"}, {}, [], {"activities": {"a": 1}}):
        infer_types("pipeline", document, warnings)
    assert len(warnings) == 3


def test_the_warning_stands_in_a_header(airline: Front) -> None:
    activity = {"name": "w", "type": "Container", "typeProperties": {"waitTimeInSeconds": 1}}
    answer = airline.put(f"{FACTORY}/pipelines/W", {"properties": {"activities": [activity]}})
    assert answer.headers["warning"].startswith('199 kyanite "')
    assert "taken for Wait" in answer.headers["warning"]
    assert answer.json["properties"]["activities"][0]["type"] == "Wait"
