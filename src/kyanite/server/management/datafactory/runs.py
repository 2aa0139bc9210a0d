"""Pipeline runs and activity runs: start, look, query, cancel."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from kyanite.engine.record import RunRecord
from kyanite.errors import ConflictError, NotFoundError
from kyanite.limits import MANAGEMENT_PAGE
from kyanite.runs.records import summary_of
from kyanite.runs.store import RunSummary
from kyanite.runtime.factory_shelf import LiveFactory
from kyanite.runtime.live_runs import create_prepared, prepare_run
from kyanite.runtime.monitor import activity_runs_of, run_json
from kyanite.runtime.past import past_run
from kyanite.runtime.rerun import RerunMode, rerun
from kyanite.runtime.run_pages import Condition, PageQuery, run_rows
from kyanite.runtime.start import cancel_run
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.datafactory.names import KINDS, factory_id, find, not_found
from kyanite.server.management.datafactory.queries import Filter, Query, bad, instant, read_query
from kyanite.server.management.datafactory.resources import live_factory

Json = Any

RUN_OPERANDS = ("PipelineName", "RunStart", "RunEnd", "Status", "RunGroupId", "LatestOnly")
RUN_COLUMNS = ("RunStart", "RunEnd", "PipelineName", "Status")
ACTIVITY_OPERANDS = ("ActivityName", "ActivityRunStart", "ActivityRunEnd", "ActivityType", "Status")
ACTIVITY_COLUMNS = ("ActivityRunStart", "ActivityRunEnd", "ActivityName", "Status")
_ACTIVITY_MEMBERS = {
    "ActivityName": "activityName",
    "ActivityRunEnd": "activityRunEnd",
    "ActivityRunStart": "activityRunStart",
    "ActivityType": "activityType",
    "Status": "status",
}
_TIMES = frozenset({"RunStart", "RunEnd", "ActivityRunStart", "ActivityRunEnd", "TriggerRunTimestamp"})
_TRUE = frozenset({"true", "1"})


# ---- starting


async def create_run(call: ArmCall) -> Response:
    """Start a pipeline; with `referencePipelineRunId` as an earlier run was started, in recovery as a rerun of it."""
    query = call.request.query
    recovery = _flag(call, "isrecovery")
    reference = query.get("referencepipelinerunid")
    if recovery and not reference:
        raise ArmError(
            "A recovery needs the run that it recovers: referencePipelineRunId.", code="BadRequest", status=400
        )
    if recovery:
        run_id = await asyncio.to_thread(_recover, call, reference)
    else:
        prepared = await asyncio.to_thread(_prepare, call, reference)
        write = partial(create_prepared, call.context.workspace, prepared, call.context.clock())
        run_id = await call.write(write)
    call.context.on_run(run_id)
    return Response.json({"runId": run_id})


def _prepare(call: ArmCall, reference: str) -> Any:
    live = live_factory(call)
    pipeline = find(live.factory, KINDS["pipelines"], call.names["name"])
    if pipeline is None:
        raise not_found(KINDS["pipelines"], call.names["name"], factory_id(call, live.factory.name))
    parameters = call.json
    if reference:
        earlier = _earlier(call, live, reference)
        parameters = {**earlier.queued.parameters, **parameters}
    by = {"name": "Manual", "invokedByType": "Manual"}
    return prepare_run(call.context.workspace, live, pipeline.name, parameters, invoked_by=by)


def _recover(call: ArmCall, reference: str) -> str:
    live = live_factory(call)
    _earlier(call, live, reference)
    activity = call.request.query.get("startactivityname")
    mode = RerunMode.WHOLE
    if activity:
        mode = RerunMode.FROM_ACTIVITY
    elif _flag(call, "startfromfailure"):
        mode = RerunMode.FROM_FAILURE
    try:
        return rerun(
            call.context.workspace,
            reference,
            mode=mode,
            parameters=call.json or None,
            from_activity=activity or None,
        )
    except ConflictError as error:
        raise ArmError(str(error), code="BadRequest", status=400, target=reference) from None


def _earlier(call: ArmCall, live: LiveFactory, run_id: str) -> RunRecord:
    summary = _summary(call, live, run_id)
    if summary.pipeline.casefold() != call.names["name"].casefold():
        raise ArmError(
            f"The run {summary.run_id} is one of the pipeline '{summary.pipeline}', not of '{call.names['name']}'.",
            code="BadRequest",
            status=400,
        )
    return past_run(call.context.workspace.store, summary.run_id, masked=False)[1]


def _flag(call: ArmCall, name: str) -> bool:
    return call.request.query.get(name).lower() in _TRUE


# ---- looking


async def get_run(call: ArmCall) -> Response:
    """One run. The call that clients repeat: one row by its key, read on the loop itself, without a thread between."""
    summary = call.context.workspace.glancing.summary(call.names["run"])
    if summary is not None and summary.factory.casefold() == call.names["factory"].casefold():
        return Response.json(_run_json(call, summary.factory, summary))
    return Response.json(await asyncio.to_thread(_get, call))


def _get(call: ArmCall) -> dict[str, Json]:
    live = live_factory(call)
    return _run_json(call, live.factory.name, _summary(call, live, call.names["run"]))


def _summary(call: ArmCall, live: LiveFactory, run_id: str) -> RunSummary:
    summary = call.context.workspace.glancing.summary(run_id)
    if summary is None or summary.factory.casefold() != live.factory.name.casefold():
        raise ArmError(
            f"There is no pipeline run '{run_id[:100]}' in the factory '{live.factory.name}'.",
            code="PipelineRunNotFound",
            status=404,
            target=factory_id(call, live.factory.name),
        )
    return summary


def _run_json(call: ArmCall, factory: str, summary: RunSummary) -> dict[str, Json]:
    return {**run_json(summary), "id": f"{factory_id(call, factory)}/pipelineruns/{summary.run_id}"}


async def query_runs(call: ArmCall) -> Response:
    """Runs by filters, in an order, a page at a time."""
    query = read_query(call.json, RUN_OPERANDS, RUN_COLUMNS)
    return Response.json(await asyncio.to_thread(_query_runs, call, query))


def _query_runs(call: ArmCall, query: Query) -> dict[str, Json]:
    live = live_factory(call)
    store = call.context.workspace.reading
    page = PageQuery(
        live.factory.name,
        query.after,
        query.before,
        conditions(query, without="LatestOnly"),
        any(_latest_only(each) for each in query.filters),
        query.order,
        MANAGEMENT_PAGE,
        query.token,
    )
    rows, token = run_rows(store.database, page)
    vault = call.context.workspace.vault
    body: dict[str, Json] = {"value": [_run_json(call, live.factory.name, summary_of(vault, row)) for row in rows]}
    return body | ({"continuationToken": token} if token else {})


def conditions(query: Query, without: str = "") -> list[Condition]:
    """The filters of a query as conditions on columns."""
    return [
        Condition(each.operand, _values(each), each.operator.startswith("Not"))
        for each in query.filters
        if each.operand != without
    ]


def _values(condition: Filter) -> tuple[str, ...]:
    return tuple(map(instant, condition.values)) if condition.operand in _TIMES else condition.values


def _latest_only(condition: Filter) -> bool:
    if condition.operand != "LatestOnly":
        return False
    if any(value.lower() not in ("true", "false") for value in condition.values):
        raise bad("LatestOnly is compared with true or false.")
    wanted = {value.lower() == "true" for value in condition.values}
    return wanted == {not condition.operator.startswith("Not")}


# ---- activity runs


async def query_activity_runs(call: ArmCall) -> Response:
    """The activity runs of a pipeline run by filters, in an order, a page at a time."""
    query = read_query(call.json, ACTIVITY_OPERANDS, ACTIVITY_COLUMNS)
    return Response.json(await asyncio.to_thread(_query_activity_runs, call, query))


def _query_activity_runs(call: ArmCall, query: Query) -> dict[str, Json]:
    live = live_factory(call)
    summary = _summary(call, live, call.names["run"])
    rows = activity_runs_of(call.context.workspace.reading, summary)
    wants_skipped = any("Skipped" in each.values for each in query.filters if each.operand == "Status")
    found = [row for row in rows if (wants_skipped or row["status"] != "Skipped") and _fits(row, query)]
    if query.order and query.order[-1][1]:
        found.reverse()  # of those that started in the same instant the last one comes first
    for column, descending in reversed(query.order):
        found.sort(key=partial(_sort_key, _ACTIVITY_MEMBERS[column]), reverse=descending)
    start = _offset(query.token)
    body: dict[str, Json] = {
        "value": [_activity_json(call, live, row) for row in found[start : start + MANAGEMENT_PAGE]]
    }
    if len(found) > start + MANAGEMENT_PAGE:
        body["continuationToken"] = str(start + MANAGEMENT_PAGE)
    return body


def _sort_key(member: str, row: dict[str, Json]) -> str:
    return str(row[member] or "")


def _activity_json(call: ArmCall, live: LiveFactory, row: dict[str, Json]) -> dict[str, Json]:
    return {
        **row,
        "id": f"{factory_id(call, live.factory.name)}/pipelineruns/{row['pipelineRunId']}"
        f"/activityruns/{row['activityRunId']}",
    }


def _fits(row: dict[str, Json], query: Query) -> bool:
    """A running activity counts as updated just now."""
    started, ended = instant(row["activityRunStart"]), row["activityRunEnd"]
    if query.after is not None and ended is not None and instant(ended) < query.after:
        return False
    if query.before is not None and (instant(ended) if ended is not None else started) > query.before:
        return False
    return all(_holds(row, each) for each in query.filters)


def _holds(row: dict[str, Json], condition: Filter) -> bool:
    value = row[_ACTIVITY_MEMBERS[condition.operand]]
    if condition.operand in _TIMES:
        known = set(_values(condition))
        inside = value is not None and instant(value) in known
    else:
        inside = str(value).casefold() in {each.casefold() for each in condition.values}
    return inside != condition.operator.startswith("Not")


def _offset(token: str | None) -> int:
    if token is None:
        return 0
    if not token.isascii() or not token.isdigit() or len(token) > 9:
        raise bad("The continuationToken is not one that this query gave.")
    return int(token)


# ---- cancelling


async def cancel(call: ArmCall) -> Response:
    """Cancel a run, and its child runs unless `isRecursive=false`."""
    await asyncio.to_thread(_cancel, call)
    call.context.on_run(call.names["run"])
    return Response(200)


def _cancel(call: ArmCall) -> None:
    live = live_factory(call)
    summary = _summary(call, live, call.names["run"])
    recursive = call.request.query.get("isrecursive", "true").lower() not in ("false", "0")
    try:
        cancel_run(call.context.workspace, summary.run_id, recursive=recursive, by=call.identity.name)
    except ConflictError as error:
        raise ArmError(str(error), code="BadRequest", status=400, target=summary.run_id) from None
    except NotFoundError as error:
        raise ArmError(str(error), code="PipelineRunNotFound", status=404, target=summary.run_id) from None
