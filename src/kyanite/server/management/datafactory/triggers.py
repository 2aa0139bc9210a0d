"""Triggers: start and stop them, look at their runs, run windows again."""

from __future__ import annotations

import asyncio
from typing import Any

from kyanite.definitions.model import Resource
from kyanite.engine.triggers import read_trigger
from kyanite.engine.triggers.storage_events import StorageEvents
from kyanite.errors import ConflictError, KyaniteError
from kyanite.limits import MANAGEMENT_PAGE
from kyanite.runtime.factory_shelf import LiveFactory
from kyanite.runtime.run_pages import PageQuery, trigger_run_rows
from kyanite.runtime.triggers import runtime_state, start_trigger, stop_trigger, trigger_store
from kyanite.runtime.triggers_runs import cancel_trigger_run, rerun_trigger_run, wire_run
from kyanite.runtime.triggers_store import TriggerRun
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.datafactory.names import KINDS, factory_id, find, not_found
from kyanite.server.management.datafactory.queries import Query, read_query
from kyanite.server.management.datafactory.resources import live_factory, wire
from kyanite.server.management.datafactory.runs import conditions

Json = Any

OPERANDS = ("TriggerName", "TriggerRunTimestamp", "Status")
COLUMNS = ("TriggerRunTimestamp", "TriggerName", "Status")


async def start(call: ArmCall) -> Response:
    """Start a trigger; done when it is answered: the clients' pollers accept 200 only (real-clients reference 3.1)."""
    await asyncio.to_thread(_start, call)
    return Response(200)


def _start(call: ArmCall) -> None:
    live, trigger = _trigger(call)
    try:
        start_trigger(call.context.workspace, live.factory, trigger.name, now=call.context.clock())
    except ConflictError as error:
        raise _refused(error, trigger) from None


async def stop(call: ArmCall) -> Response:
    """Stop a trigger; what runs goes on."""
    await asyncio.to_thread(_stop, call)
    return Response(200)


def _stop(call: ArmCall) -> None:
    live, trigger = _trigger(call)
    stop_trigger(call.context.workspace, live.factory, trigger.name, now=call.context.clock())


def _trigger(call: ArmCall) -> tuple[LiveFactory, Resource]:
    live = live_factory(call)
    name = call.names["name"]
    trigger = find(live.factory, KINDS["triggers"], name)
    if trigger is None:
        raise not_found(KINDS["triggers"], name, factory_id(call, live.factory.name))
    return live, trigger


def _refused(error: KyaniteError, trigger: Resource) -> ArmError:
    return ArmError(str(error), code="BadRequest", status=400, target=trigger.name)


# ---- storage events


async def subscribe(call: ArmCall) -> Response:
    """Events reach a trigger while it is started; there is nothing to provision before."""
    return Response.json(await asyncio.to_thread(_subscription, call))


async def subscription_status(call: ArmCall) -> Response:
    """Whether events reach a trigger."""
    return Response.json(await asyncio.to_thread(_subscription, call))


def _subscription(call: ArmCall) -> dict[str, Json]:
    live, trigger = _trigger(call)
    try:
        takes_events = isinstance(read_trigger(trigger), StorageEvents)
    except KyaniteError as error:
        raise _refused(error, trigger) from None
    if not takes_events:
        raise ArmError(
            f"The trigger '{trigger.name}' is a {trigger.type}: only triggers on storage events are subscribed.",
            code="BadRequest",
            status=400,
            target=trigger.name,
        )
    state, _ = runtime_state(call.context.workspace, live.factory, trigger)
    return {"triggerName": trigger.name, "status": "Enabled" if state == "Started" else "Disabled"}


# ---- lists


async def query_triggers(call: ArmCall) -> Response:
    """Triggers by name, a page at a time; with `parentTriggerName` those that depend on one."""
    return Response.json(await asyncio.to_thread(_query_triggers, call))


def _query_triggers(call: ArmCall) -> dict[str, Json]:
    live = live_factory(call)
    parent, after = call.json.get("parentTriggerName"), call.json.get("continuationToken")
    found = sorted(live.factory.triggers.values(), key=lambda each: each.name.casefold())
    if isinstance(parent, str) and parent:
        found = [each for each in found if parent.casefold() in _depends_on(each)]
    if isinstance(after, str) and after:
        found = [each for each in found if each.name.casefold() > after.casefold()]
    page = found[:MANAGEMENT_PAGE]
    body: dict[str, Json] = {"value": [wire(call, live, KINDS["triggers"], each) for each in page]}
    return body | ({"continuationToken": page[-1].name} if len(found) > len(page) else {})


def _depends_on(trigger: Resource) -> set[str]:
    listed = trigger.type_properties.get("dependsOn")
    references = (
        [each.get("referenceTrigger") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    return {str(each.get("referenceName", "")).casefold() for each in references if isinstance(each, dict)}


# ---- runs


async def query_trigger_runs(call: ArmCall) -> Response:
    """Trigger runs by filters, in an order, a page at a time."""
    query = read_query(call.json, OPERANDS, COLUMNS)
    return Response.json(await asyncio.to_thread(_query_runs, call, query))


def _query_runs(call: ArmCall, query: Query) -> dict[str, Json]:
    live = live_factory(call)
    workspace = call.context.workspace
    page = PageQuery(
        live.factory.name.casefold(),
        query.after,
        query.before,
        conditions(query),
        False,
        query.order,
        MANAGEMENT_PAGE,
        query.token,
    )
    rows, token = trigger_run_rows(workspace.reading.database, page)
    store = trigger_store(workspace)
    body: dict[str, Json] = {"value": [wire_run(store.run_of(row)) for row in rows]}
    return body | ({"continuationToken": token} if token else {})


async def rerun(call: ArmCall) -> Response:
    """Run a window again; runs of other triggers are refused by name."""
    await asyncio.to_thread(_rerun, call)
    return Response(200)


def _rerun(call: ArmCall) -> None:
    _, trigger = _trigger(call)
    try:
        rerun_trigger_run(call.context.workspace, _trigger_run(call, trigger), now=call.context.clock())
    except ConflictError as error:
        raise _refused(error, trigger) from None


async def cancel(call: ArmCall) -> Response:
    """Cancel a trigger run: a waiting window at once, everything else through its pipeline runs."""
    changed = await asyncio.to_thread(_cancel, call)
    for run_id in changed.pipelines.values():
        call.context.on_run(run_id)
    return Response(200)


def _cancel(call: ArmCall) -> TriggerRun:
    _, trigger = _trigger(call)
    try:
        return cancel_trigger_run(call.context.workspace, _trigger_run(call, trigger), now=call.context.clock())
    except ConflictError as error:
        raise _refused(error, trigger) from None


def _trigger_run(call: ArmCall, trigger: Resource) -> TriggerRun:
    run = trigger_store(call.context.workspace).run(call.names["run"])
    if run is None or run.key.name != trigger.name.casefold():
        raise ArmError(
            f"There is no run '{call.names['run'][:100]}' of the trigger '{trigger.name}'.",
            code="TriggerRunNotFound",
            status=404,
            target=trigger.name,
        )
    return run
