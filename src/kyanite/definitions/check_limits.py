"""What the cloud service would refuse while kyanite runs it: nesting and sizes. Warnings only."""

from __future__ import annotations

import json
from collections.abc import Iterator

from kyanite.definitions.activity import as_list, as_object
from kyanite.definitions.model import Activity, Factory, Pipeline
from kyanite.definitions.paths import descend, join
from kyanite.definitions.placement import Placed, placed_activities
from kyanite.definitions.problem import Problem, warning

_ACTIVITIES = 120
_ACTIVITY_NAME = 55
_BATCH_COUNT = 50
_CASES = 25
_PARAMETERS = 50
_PIPELINE_BYTES = 200 * 1024
_PIPELINE_NAME = 140
_RETRY_INTERVAL = range(30, 86_401)
_LOOPS = {"foreach", "until"}
_CHOICES = {"ifcondition", "switch"}
_CURE = "kyanite runs it; change it before you publish to Data Factory."


def check_limits(factory: Factory) -> Iterator[Problem]:
    """Sizes and nesting beyond the service's limits."""
    for pipeline in factory.pipelines.values():
        yield from _sizes(pipeline)
        for placed in placed_activities(pipeline):
            yield from _nesting(pipeline, placed)
            for path, message in _activity(placed.activity):
                yield warning("LimitOfService", pipeline.place, path, message, _CURE)


def _sizes(pipeline: Pipeline) -> Iterator[Problem]:
    size = len(json.dumps(pipeline.document, separators=(",", ":")))
    found = (
        ("properties.activities", "activities", sum(1 for _ in pipeline.walk()), _ACTIVITIES),
        ("properties.parameters", "parameters", len(pipeline.parameters), _PARAMETERS),
        ("name", "characters in its name", len(pipeline.name), _PIPELINE_NAME),
        ("", "bytes of JSON", size, _PIPELINE_BYTES),
    )
    for path, what, count, most in found:
        if count > most:
            message = f"The pipeline has {count:,} {what}; Data Factory allows {most:,}."
            yield warning("LimitOfService", pipeline.place, path, message, _CURE)


def _activity(activity: Activity) -> Iterator[tuple[str, str]]:
    properties = activity.type_properties
    if len(activity.name) > _ACTIVITY_NAME:
        yield join(activity.path, "name"), f"The name has more than {_ACTIVITY_NAME} characters."
    batch = properties.get("batchCount")
    if activity.type.lower() == "foreach" and isinstance(batch, int) and batch > _BATCH_COUNT:
        yield descend(activity.path, "typeProperties", "batchCount"), f"The batchCount is above {_BATCH_COUNT}."
    cases = len(as_list(properties.get("cases")))
    if activity.type.lower() == "switch" and cases > _CASES:
        yield descend(activity.path, "typeProperties", "cases"), f"The Switch has {cases} cases, above {_CASES}."
    interval = as_object(activity.document.get("policy")).get("retryIntervalInSeconds")
    if isinstance(interval, int) and interval not in _RETRY_INTERVAL:
        place = descend(activity.path, "policy", "retryIntervalInSeconds")
        yield place, "The retry interval is not between 30 and 86,400 seconds."


def _nesting(pipeline: Pipeline, placed: Placed) -> Iterator[Problem]:
    kind = placed.activity.type.lower()
    outer = placed.container.activity if placed.container else None
    if outer is None:
        return
    refused = (
        (kind in _LOOPS)
        or (kind in _CHOICES and any(one.activity.type.lower() in _CHOICES for one in placed.around))
        or kind == "validation"
    )
    if refused:
        message = f"Data Factory refuses {placed.activity.type} inside {outer.type} ({outer.name!r})."
        cure = "kyanite runs it; for Data Factory put it in a pipeline of its own and use ExecutePipeline."
        yield warning("NestingOfService", pipeline.place, placed.activity.path, message, cure)
