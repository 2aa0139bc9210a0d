"""Types that a client left out: azure-mgmt-datafactory 10.0.0 loses the leaf type of its typed models.

Its activities say `Execution` or `Container`, its triggers `MultiplePipelineTrigger`, its linked services and datasets
nothing (real-clients reference 3.2). What makes the type unambiguous is used, anything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kyanite.server.management.arm import ArmError

Json = Any

_INTERMEDIATE = {
    "pipeline": frozenset({"", "activity", "container", "controlactivity", "execution", "executionactivity"}),
    "trigger": frozenset({"", "multiplepipelinetrigger", "trigger"}),
    "linkedService": frozenset({"", "linkedservice"}),
    "dataset": frozenset({"", "dataset"}),
}

# type -> members of typeProperties that only it has together; the first that fits counts
_ACTIVITIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("Copy", frozenset({"source", "sink"})),
    ("Custom", frozenset({"command"})),
    ("ForEach", frozenset({"items", "activities"})),
    ("Filter", frozenset({"items", "condition"})),
    ("Until", frozenset({"expression", "activities"})),
    ("IfCondition", frozenset({"expression", "ifTrueActivities"})),
    ("IfCondition", frozenset({"expression", "ifFalseActivities"})),
    ("Switch", frozenset({"on", "cases"})),
    ("Switch", frozenset({"on", "defaultActivities"})),
    ("ExecutePipeline", frozenset({"pipeline"})),
    ("Fail", frozenset({"message", "errorCode"})),
    ("Wait", frozenset({"waitTimeInSeconds"})),
    ("Lookup", frozenset({"source", "dataset"})),
    ("GetMetadata", frozenset({"dataset", "fieldList"})),
    ("Script", frozenset({"scripts"})),
    ("SqlServerStoredProcedure", frozenset({"storedProcedureName"})),
    ("WebHook", frozenset({"method", "url", "timeout"})),
    ("WebActivity", frozenset({"method", "url"})),
)
_LINKED_SERVICES: tuple[tuple[str, frozenset[str]], ...] = (
    ("AzureBatch", frozenset({"accountName", "poolName"})),
    ("AzureFunction", frozenset({"functionAppUrl"})),
    ("AzureKeyVault", frozenset({"baseUrl"})),
    ("AzureBlobStorage", frozenset({"serviceEndpoint"})),
    ("AzureBlobStorage", frozenset({"sasUri"})),
)
_TRIGGERS: tuple[tuple[str, frozenset[str]], ...] = (
    ("ScheduleTrigger", frozenset({"recurrence"})),
    ("BlobEventsTrigger", frozenset({"events", "scope"})),
    ("TumblingWindowTrigger", frozenset({"frequency", "interval"})),
)
_LOCATED = {
    ".parquet": "Parquet",
    ".parq": "Parquet",
    ".csv": "DelimitedText",
    ".json": "Json",
    ".avro": "Avro",
    ".orc": "Orc",
    ".xml": "Xml",
}


def infer_types(kind: str, properties: Json, warnings: list[str]) -> None:
    """Fill in the types that are missing in a new document's `properties`, in place; a warning tells each of them.

    ArmError 400 that names the defect where the type cannot be told.
    """
    if not isinstance(properties, dict):
        return
    if kind == "pipeline":
        for activity in _activities(properties):
            _infer(kind, activity, "activity", str(activity.get("name", "")), _activity_type, warnings)
    elif kind in _INTERMEDIATE:
        finders = {"trigger": _trigger_type, "linkedService": _linked_service_type, "dataset": _dataset_type}
        _infer(kind, properties, kind, "", finders[kind], warnings)


def _infer(kind: str, owner: dict[str, Json], what: str, name: str, find: Any, warnings: list[str]) -> None:
    given = owner.get("type")
    if given is not None and not isinstance(given, str):
        return  # the check says so
    if str(given or "").lower() not in _INTERMEDIATE[kind]:
        return
    if "typeProperties" not in owner and not given:
        return  # the check says that the type is missing
    found = find(owner)
    label = f"{what} '{name}'" if name else what
    if found is None:
        raise ArmError(
            f"The {label} came with {'the type ' + repr(given) if given else 'no type'}, which is none of Data "
            "Factory's. azure-mgmt-datafactory 10.0.0 loses the type of its typed models: use a version below 10, or "
            "give the document as a dict.",
            code="BadRequest",
            status=400,
        )
    owner["type"] = found
    warnings.append(
        f"The {label} came with {given or 'no'} type and was taken for {found}; azure-mgmt-datafactory 10.0.0 loses "
        "the types of its models: use a version below 10, or dicts."
    )


def _activities(container: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    waiting: list[Json] = [container.get("activities")]
    while waiting:
        found = waiting.pop()
        for activity in found if isinstance(found, list) else ():
            if not isinstance(activity, dict):
                continue
            yield activity
            inner = activity.get("typeProperties")
            if isinstance(inner, dict):
                waiting += [inner.get(m) for m in ("activities", "ifTrueActivities", "ifFalseActivities")]
                waiting.append(inner.get("defaultActivities"))
                cases = inner.get("cases")
                if isinstance(cases, list):
                    waiting += [case.get("activities") for case in cases if isinstance(case, dict)]


def _members(owner: Mapping[str, Json]) -> frozenset[str]:
    inner = owner.get("typeProperties")
    given = inner.items() if isinstance(inner, dict) else ()
    return frozenset(name for name, value in given if value is not None)


def _first(owner: Mapping[str, Json], known: tuple[tuple[str, frozenset[str]], ...]) -> str | None:
    members = _members(owner)
    return next((name for name, needed in known if needed <= members), None)


def _activity_type(owner: Mapping[str, Json]) -> str | None:
    found = _first(owner, _ACTIVITIES)
    if found is None and "variableName" in _members(owner):
        return None  # SetVariable and AppendVariable look alike
    if found is None and _members(owner) >= {"dataset", "sleep"}:
        return "Validation"
    return found


def _trigger_type(owner: Mapping[str, Json]) -> str | None:
    return _first(owner, _TRIGGERS)


def _linked_service_type(owner: Mapping[str, Json]) -> str | None:
    found = _first(owner, _LINKED_SERVICES)
    if found is not None:
        return found
    inner = owner.get("typeProperties")
    if not isinstance(inner, dict):
        return None
    text = _text(inner.get("connectionString"))
    if text is not None and ("accountname=" in text.lower() or "blobendpoint=" in text.lower()):
        return "AzureBlobStorage"
    url = _text(inner.get("url"))
    if url is not None and ".dfs." in url.lower():
        return "AzureBlobFS"
    return None


def _dataset_type(owner: Mapping[str, Json]) -> str | None:
    inner = owner.get("typeProperties")
    location = inner.get("location") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(location, dict):
        return None
    if {"columnDelimiter", "firstRowAsHeader", "quoteChar", "escapeChar"} & _members(owner):
        return "DelimitedText"
    name = (_text(location.get("fileName")) or "").lower()
    return next((kind for end, kind in _LOCATED.items() if name.endswith(end)), None)


def _text(value: Json) -> str | None:
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) else None
