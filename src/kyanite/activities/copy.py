"""Copy: move data from one dataset to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kyanite.activities.context import ActivityContext
from kyanite.activities.references import resolve_dataset
from kyanite.connections import Connection, open_connection
from kyanite.errors import ActivityError
from kyanite.movement import CopyRequest, Dataset, copy

Json = Any


def run(context: ActivityContext) -> Json:
    """Carry the copy out; the output is Data Factory's own."""
    source, source_connection = _open(context, context.inputs, "input")
    sink, sink_connection = _open(context, context.outputs, "output")
    request = CopyRequest(
        source=source,
        sink=sink,
        properties=dict(context.type_properties),
        source_connection=source_connection,
        sink_connection=sink_connection,
        activity_run_id=context.activity_run_id,
    )
    return copy(request, progress=context.progress, cancelled=context.cancelled.is_set)


def _open(context: ActivityContext, references: Sequence[Mapping[str, Json]], side: str) -> tuple[Dataset, Connection]:
    if len(references) != 1:
        raise ActivityError(
            f"Copy '{context.name}' needs exactly one {side} dataset; it has {len(references)}.", code="2103"
        )
    dataset, linked_service = resolve_dataset(context.factory, references[0])
    connection = open_connection(linked_service, context.services.accounts)
    return (
        Dataset(
            name=dataset["name"],
            type=dataset["type"],
            type_properties=dataset["typeProperties"],
            linked_service_type=linked_service["type"],
        ),
        connection,
    )
