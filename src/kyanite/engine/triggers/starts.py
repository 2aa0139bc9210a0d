"""What a trigger starts: its pipelines and their parameters, evaluated with `trigger()` and `triggerBody()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kyanite.definitions.model import Resource
from kyanite.engine.triggers.storage_events import BlobEvent, trigger_body
from kyanite.engine.triggers.tumbling import Window
from kyanite.engine.triggers.values import precise_time, wire_time
from kyanite.errors import DefinitionError
from kyanite.expressions import Scope, evaluate

Json = Any


@dataclass(frozen=True, slots=True)
class PipelineStart:
    """A pipeline that a trigger starts, with its parameters as written; `key` names it among the trigger's others."""

    pipeline: str
    parameters: Mapping[str, Json]
    key: str


def starts_of(trigger: Resource) -> tuple[PipelineStart, ...]:
    """The pipelines of a trigger in order; DefinitionError for an entry without a pipeline."""
    single = trigger.properties.get("pipeline")
    entries = [single] if isinstance(single, dict) and single else trigger.properties.get("pipelines") or []
    found: list[PipelineStart] = []
    for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        reference = entry.get("pipelineReference") if isinstance(entry, dict) else None
        name = reference.get("referenceName") if isinstance(reference, dict) else None
        given = (entry.get("parameters") or {}) if isinstance(entry, dict) else None
        if not isinstance(name, str) or not isinstance(given, dict):
            raise DefinitionError(
                f"The pipeline number {index + 1} of the trigger is not named properly.",
                where=trigger.place,
                cure='Write {"pipelineReference": {"referenceName": NAME, "type": "PipelineReference"}}.',
            )
        same = sum(1 for other in found if other.pipeline == name)
        found.append(PipelineStart(name, given, f"{name} ({same + 1})" if same else name))
    return tuple(found)


def evaluate_parameters(start: PipelineStart, scope: Scope) -> dict[str, Json]:
    """The parameters of a start; ExpressionError when one needs what the trigger does not have."""
    values: dict[str, Json] = evaluate(dict(start.parameters), scope)
    return values


def schedule_scope(name: str, scheduled: datetime, now: datetime) -> Scope:
    """What the parameters of a schedule trigger see."""
    return Scope(trigger=_trigger(name, now) | {"scheduledTime": wire_time(scheduled)}, now=lambda: now)


def window_scope(name: str, window: Window, due: datetime, now: datetime) -> Scope:
    """What the parameters of a tumbling window trigger see; `due` is when the window could first run."""
    outputs = {"windowStartTime": wire_time(window.start), "windowEndTime": wire_time(window.end)}
    return Scope(trigger=_trigger(name, now) | {"scheduledTime": wire_time(due), "outputs": outputs}, now=lambda: now)


def event_scope(name: str, event: BlobEvent, now: datetime) -> Scope:
    """What the parameters of a storage event trigger see."""
    body = trigger_body(event)
    return Scope(trigger=_trigger(name, now) | {"outputs": {"body": body}}, trigger_body=body, now=lambda: now)


def _trigger(name: str, now: datetime) -> dict[str, Json]:
    return {"name": name, "startTime": precise_time(now)}
