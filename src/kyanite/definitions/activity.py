"""One activity of a pipeline: typed views on its raw document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from kyanite.definitions.lazy import lazy
from kyanite.definitions.paths import descend
from kyanite.definitions.timespan import parse_timespan
from kyanite.errors import DefinitionError

Json = Any

DEFAULT_TIMEOUT_SECONDS = 7 * 86_400.0
DEFAULT_RETRY_INTERVAL_SECONDS = 30

# activity type (lower case) -> branch -> the member of typeProperties that holds its activities
_BRANCHES: Mapping[str, Mapping[str, str]] = {
    "foreach": {"activities": "activities"},
    "ifcondition": {"true": "ifTrueActivities", "false": "ifFalseActivities"},
    "switch": {"default": "defaultActivities"},
    "until": {"activities": "activities"},
}


def as_object(value: Json) -> dict[str, Json]:
    """The value when it is a JSON object, otherwise an empty one: malformed parts are reported by the check."""
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> list[Json]:
    """The value when it is a JSON array, otherwise an empty one."""
    return value if isinstance(value, list) else []


@dataclass(frozen=True)
class Dependency:
    """An entry of `dependsOn`; the conditions are ORed."""

    activity: str
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """Timeout (seconds), retries and secrecy of an activity; an expression is kept as text until run time."""

    timeout: float | str = DEFAULT_TIMEOUT_SECONDS
    retry: int | str = 0
    retry_interval: int = DEFAULT_RETRY_INTERVAL_SECONDS
    secure_input: bool = False
    secure_output: bool = False


@dataclass(frozen=True, eq=False)
class Activity:
    """An activity; `document` is the raw truth, `path` its JSON path inside the pipeline's file."""

    name: str
    type: str
    document: Mapping[str, Json] = field(repr=False)
    path: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activity) and self.document == other.document

    def __hash__(self) -> int:
        return hash((self.name, self.type))

    @lazy
    def type_properties(self) -> dict[str, Json]:
        """The raw `typeProperties`."""
        return as_object(self.document.get("typeProperties"))

    @lazy
    def depends_on(self) -> tuple[Dependency, ...]:
        """What must have ended before; entries without a name are left to the check."""
        entries = (as_object(entry) for entry in as_list(self.document.get("dependsOn")))
        return tuple(
            Dependency(
                entry["activity"],
                tuple(str(condition) for condition in as_list(entry.get("dependencyConditions"))) or ("Succeeded",),
            )
            for entry in entries
            if isinstance(entry.get("activity"), str)
        )

    @lazy
    def policy(self) -> Policy:
        """The policy with Data Factory's defaults filled in (timeout 7 days, no retry, 30 s between attempts)."""
        raw = as_object(self.document.get("policy"))
        interval = raw.get("retryIntervalInSeconds")
        return Policy(
            timeout=_timeout(raw.get("timeout")),
            retry=_retry(raw.get("retry")),
            retry_interval=_retry_interval(interval),
            secure_input=raw.get("secureInput") is True,
            secure_output=raw.get("secureOutput") is True,
        )

    @lazy
    def linked_service(self) -> Mapping[str, Json] | None:
        """The reference under `linkedServiceName`, if any."""
        value = self.document.get("linkedServiceName")
        return value if isinstance(value, dict) else None

    @lazy
    def inputs(self) -> tuple[dict[str, Json], ...]:
        """The dataset references under `inputs`."""
        return tuple(entry for entry in as_list(self.document.get("inputs")) if isinstance(entry, dict))

    @lazy
    def outputs(self) -> tuple[dict[str, Json], ...]:
        """The dataset references under `outputs`."""
        return tuple(entry for entry in as_list(self.document.get("outputs")) if isinstance(entry, dict))

    @lazy
    def user_properties(self) -> tuple[dict[str, Json], ...]:
        """The `{name, value}` pairs shown in monitoring; values may be expressions."""
        return tuple(entry for entry in as_list(self.document.get("userProperties")) if isinstance(entry, dict))

    @property
    def state(self) -> str:
        """`Active` or `Inactive`."""
        return "Inactive" if str(self.document.get("state", "Active")).lower() == "inactive" else "Active"

    @property
    def on_inactive_mark_as(self) -> str:
        """The status an inactive activity counts with: `Succeeded`, `Failed` or `Skipped`."""
        given = str(self.document.get("onInactiveMarkAs", "Succeeded")).capitalize()
        return given if given in ("Failed", "Skipped") else "Succeeded"

    @lazy
    def branches(self) -> Mapping[str, tuple[Activity, ...]]:
        """The inner lists of a container: `activities`, `true` and `false`, or `case:<value>` and `default`."""
        found: dict[str, tuple[Activity, ...]] = {}
        inside = descend(self.path, "typeProperties")
        kind = self.type.lower()
        if kind == "switch":
            for index, case in enumerate(as_list(self.type_properties.get("cases"))):
                raw = as_object(case)
                place = descend(inside, "cases", index, "activities")
                found.setdefault(f"case:{raw.get('value')}", activities_of(raw.get("activities"), place))
        for branch, member in _BRANCHES.get(kind, {}).items():
            found[branch] = activities_of(self.type_properties.get(member), descend(inside, member))
        return MappingProxyType(found)


def activities_of(raw: Json, path: str) -> tuple[Activity, ...]:
    """The activities of a raw list; entries that are no object are left to the check."""
    return tuple(
        Activity(str(document.get("name", "")), str(document.get("type", "")), document, descend(path, index))
        for index, document in enumerate(as_list(raw))
        if isinstance(document, dict)
    )


def walk_activities(activities: Iterable[Activity]) -> Iterator[Activity]:
    """Every activity of the lists, inner ones included, outer before inner."""
    for activity in activities:
        yield activity
        for branch in activity.branches.values():
            yield from walk_activities(branch)


def carried(value: Json) -> Json:
    """The text inside an `{"value", "type": "Expression"}` object; any other value as it is."""
    if isinstance(value, dict) and value.get("type") == "Expression" and "value" in value:
        return value["value"]
    return value


def _timeout(raw: Json) -> float | str:
    text = carried(raw)
    if not isinstance(text, str):
        return DEFAULT_TIMEOUT_SECONDS
    try:
        return parse_timespan(text)
    except DefinitionError:
        return text  # an expression; anything else is reported by the check and again when it is evaluated


def _retry(raw: Json) -> int | str:
    value = carried(raw)
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) < 10 else value
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _retry_interval(raw: Json) -> int:
    if isinstance(raw, str) and raw.isdecimal() and len(raw) < 10:
        return int(raw)
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0 else DEFAULT_RETRY_INTERVAL_SECONDS
