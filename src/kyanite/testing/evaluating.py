"""Single expressions in a test."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any
from uuid import uuid5

from kyanite.expressions import MISSING, Scope
from kyanite.expressions import evaluate as evaluate_in_scope
from kyanite.testing.simulation import NAMESPACE, START
from kyanite.testing.times import Moment, moment_of

Json = Any


def evaluate(
    expression: Json,
    *,
    parameters: Mapping[str, Json] | None = None,
    variables: Mapping[str, Json] | None = None,
    activities: Mapping[str, Mapping[str, Json]] | None = None,
    global_parameters: Mapping[str, Json] | None = None,
    pipeline: Mapping[str, Json] | None = None,
    item: Json = MISSING,
    dataset: Mapping[str, Json] | None = None,
    linked_service: Mapping[str, Json] | None = None,
    trigger: Json = MISSING,
    trigger_body: Json = MISSING,
    now: Moment = START,
) -> Json:
    """The value of an expression, a text with `@{...}` in it, or any JSON value with expressions inside.

    `activities` is name -> `{"output": ..., "status": ..., "error": ...}` (default Succeeded), `pipeline`
    the system variables. Clock and guids are fixed. Raises ExpressionError.
    """
    moment, guids = moment_of(now), itertools.count(1)
    scope = Scope(
        parameters=parameters or {},
        global_parameters=global_parameters or {},
        variables=variables or {},
        activities={name: _result(result) for name, result in (activities or {}).items()},
        pipeline=pipeline or {},
        item=item,
        dataset=dataset,
        linked_service=linked_service,
        trigger=trigger,
        trigger_body=trigger_body,
        now=lambda: moment,
        new_guid=lambda: uuid5(NAMESPACE, f"guid {next(guids)}"),
    )
    return evaluate_in_scope(expression, scope)


def _result(given: Mapping[str, Json]) -> dict[str, Json]:
    status = given.get("status", given.get("Status", "Succeeded"))
    return {"Status": status, **{key: value for key, value in given.items() if key.casefold() != "status"}}
