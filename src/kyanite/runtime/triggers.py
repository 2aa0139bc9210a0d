"""What people and clients do with triggers: list, show, preview, start and stop them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from kyanite.definitions.model import MISSING, Factory, Resource
from kyanite.engine.triggers import read_trigger
from kyanite.engine.triggers.recurrence import Recurrence, fires, next_fire
from kyanite.engine.triggers.starts import starts_of
from kyanite.engine.triggers.storage_events import StorageEvents
from kyanite.engine.triggers.tumbling import Tumbling, Window, due_at, index_of, is_window, next_due, window_at
from kyanite.engine.triggers.values import MICROSECOND, wire_time
from kyanite.errors import ConflictError, DefinitionError, KyaniteError, ParameterError, UnsupportedError
from kyanite.runtime.check import refuse_broken
from kyanite.runtime.clock import utc_now
from kyanite.runtime.triggers_events import subscribe, unsubscribe
from kyanite.runtime.triggers_fire import Site, definition_hash
from kyanite.runtime.triggers_store import STARTED, STOPPED, TriggerKey, TriggerState, TriggerStore
from kyanite.runtime.triggers_windows import rules_needed
from kyanite.runtime.workspace import Workspace

Json = Any

CHANGED = "changed since it was started"


def trigger_store(workspace: Workspace) -> TriggerStore:
    """The store of a workspace's triggers."""
    return TriggerStore(workspace.database, workspace.vault)


# ---- looking


def list_triggers(workspace: Workspace, factory: Factory, *, now: datetime | None = None) -> list[dict[str, Json]]:
    """Every trigger: `name`, `type`, `runtimeState`, `pipelines`, `nextFire` (UTC text or None), `note`."""
    store = trigger_store(workspace)
    return [_listed(workspace, store, factory, trigger, now or utc_now()) for trigger in factory.triggers.values()]


def trigger_document(workspace: Workspace, factory: Factory, name: str) -> dict[str, Json]:
    """A trigger's document as a client sees it, masked, with its real runtimeState."""
    trigger = factory.triggers[name]
    state, _ = runtime_state(workspace, factory, trigger)
    properties = {**trigger.properties, "runtimeState": state}
    masked: dict[str, Json] = workspace.vault.mask_json({**trigger.document, "properties": properties})
    return masked


def runtime_state(workspace: Workspace, factory: Factory, trigger: Resource) -> tuple[str, str]:
    """`Started` or `Stopped`, and why when that is not plain: a trigger that was changed since its start is Stopped.

    What the definition says of its runtimeState does not count: a deployed trigger is Stopped until it is started here.
    """
    state = trigger_store(workspace).state(TriggerKey.of(factory.name, trigger.name))
    if state is None or state.state != STARTED:
        return STOPPED, ""
    if state.definition != definition_hash(workspace, trigger):
        return STOPPED, CHANGED
    return STARTED, ""


def _listed(
    workspace: Workspace, store: TriggerStore, factory: Factory, trigger: Resource, now: datetime
) -> dict[str, Json]:
    state, note = runtime_state(workspace, factory, trigger)
    following: datetime | None = None
    pipelines: list[str] = []
    try:
        rule = read_trigger(trigger)
        pipelines = [start.pipeline for start in starts_of(trigger)]
        following = _next(store, TriggerKey.of(factory.name, trigger.name), rule, now) if state == STARTED else None
    except KyaniteError as error:
        note = note or str(error)
    return {
        "name": trigger.name,
        "type": trigger.type,
        "runtimeState": state,
        "pipelines": pipelines,
        "nextFire": following and wire_time(following),
        "note": note,
    }


def _next(
    store: TriggerStore, key: TriggerKey, rule: Recurrence | Tumbling | StorageEvents, now: datetime
) -> datetime | None:
    if isinstance(rule, Recurrence):
        return next_fire(rule, now)
    if isinstance(rule, Tumbling):
        last = store.last_window(key)
        index = index_of(rule, last[0]) + 1 if last else 0
        window = window_at(rule, index)
        return None if rule.end is not None and window.start >= rule.end else due_at(rule, window)
    return None


def preview(trigger: Resource, count: int, *, after: datetime | None = None) -> Iterator[dict[str, Json]]:
    """The next fires: `utc`, `local` (with offset) and, for windows, `windowStart` and `windowEnd`; texts.

    Schedules give those after now, windows all that become due after it. `change` tells that the offset of the local
    time is not the one of the fire before.
    """
    rule = read_trigger(trigger)
    moment = after or utc_now()
    if isinstance(rule, StorageEvents):
        raise UnsupportedError(
            f"The trigger '{trigger.name}' fires when blobs come or go; there is nothing to preview.",
            cure="Preview schedule and tumbling window triggers.",
        )
    if isinstance(rule, Tumbling):
        yield from islice(_due(rule, moment), count)
        return
    before: timedelta | None = None
    for fire in islice(fires(rule, moment), count):
        local = fire.astimezone(rule.zone)
        offset = local.utcoffset()
        changed = before is not None and before != offset
        before = offset
        yield {
            "utc": wire_time(fire),
            "local": local.isoformat(timespec="seconds"),
            "timeZone": rule.zone_name,
            "change": changed,
        }


def _due(rule: Tumbling, now: datetime) -> Iterator[dict[str, Json]]:
    moment: datetime | None = next_due(rule, now)
    while moment is not None:
        window = window_at(rule, index_of(rule, moment - rule.delay - MICROSECOND))
        yield {
            "utc": wire_time(moment),
            "local": wire_time(moment),
            "timeZone": "UTC",
            "change": False,
            "windowStart": wire_time(window.start),
            "windowEnd": wire_time(window.end),
        }
        moment = next_due(rule, moment)


# ---- starting and stopping


def start_trigger(workspace: Workspace, factory: Factory, name: str, *, now: datetime | None = None) -> str:
    """Start a trigger of a deployed factory; its name as spelled. Fires from now on, never for the past.

    Raises DefinitionError, NotFoundError, ParameterError when it could not work, ConflictError when windows that exist
    do not fit its rule or the factory is not deployed.
    """
    moment = now or utc_now()
    trigger = factory.triggers[name]
    if factory.name.casefold() not in {known.casefold() for known in workspace.factories()}:
        raise ConflictError(f"The factory '{factory.name}' is not deployed.", cure="Deploy it: kyanite deploy DIR")
    store = trigger_store(workspace)
    key = TriggerKey.of(factory.name, trigger.name)
    rule = read_trigger(trigger)
    _check_pipelines(factory, trigger, rule)
    if isinstance(rule, Tumbling):
        _check_windows(workspace, store, factory, key, rule)
    if isinstance(rule, StorageEvents):
        subscribe(workspace, rule)
    before = store.state(key)
    digest = definition_hash(workspace, trigger)
    if before is not None and (before.state, before.definition) == (STARTED, digest):
        return trigger.name
    store.put_state(TriggerState(key, STARTED, digest, moment, moment - MICROSECOND))
    return trigger.name


def stop_trigger(workspace: Workspace, factory: Factory, name: str, *, now: datetime | None = None) -> str:
    """Stop a trigger; its name as spelled. What runs goes on, windows keep their state, retries wait for a start."""
    trigger = factory.triggers[name]
    store = trigger_store(workspace)
    key = TriggerKey.of(factory.name, trigger.name)
    state = store.state(key)
    if state is None or state.state == STOPPED:
        return trigger.name
    moment = now or utc_now()
    store.put_state(TriggerState(key, STOPPED, state.definition, moment, state.done_until))
    _unsubscribe_when_last(workspace, store, trigger)
    return trigger.name


def _unsubscribe_when_last(workspace: Workspace, store: TriggerStore, trigger: Resource) -> None:
    try:
        rule = read_trigger(trigger)
    except KyaniteError:
        return  # it was changed into something else since; the scheduler drops what nobody waits for
    if isinstance(rule, StorageEvents) and rule.account not in _accounts_waited_for(workspace, store):
        unsubscribe(workspace, rule.account)


def _accounts_waited_for(workspace: Workspace, store: TriggerStore) -> set[str]:
    found = set()
    for key in store.started():
        try:
            rule = read_trigger(workspace.factory(key.factory).triggers[key.name])
        except KyaniteError:
            continue  # gone or broken: it cannot fire
        if isinstance(rule, StorageEvents):
            found.add(rule.account)
    return found


def _check_pipelines(factory: Factory, trigger: Resource, rule: Recurrence | Tumbling | StorageEvents) -> None:
    starts = starts_of(trigger)
    if not starts or (isinstance(rule, Tumbling) and len(starts) > 1):
        wanted = "exactly one pipeline" if isinstance(rule, Tumbling) else "at least one pipeline"
        raise DefinitionError(f"The trigger needs {wanted}.", where=trigger.place, cure="Name it in the definition.")
    for start in starts:
        pipeline = factory.pipelines[start.pipeline]
        refuse_broken(factory, pipeline)
        given = {name.casefold() for name in start.parameters}
        missing = [
            name
            for name, parameter in pipeline.parameters.items()
            if parameter.default is MISSING and name.casefold() not in given
        ]
        unknown = [name for name in start.parameters if name not in pipeline.parameters]
        if missing or unknown:
            wrong = [f"gives no value for '{name}'" for name in missing]
            wrong += [f"gives '{name}', which the pipeline does not have" for name in unknown]
            raise ParameterError(
                f"The trigger starts '{pipeline.name}' but {' and '.join(wrong)}.",
                where=trigger.place,
                cure=f"Parameters of '{pipeline.name}': {', '.join(pipeline.parameters) or 'none'}.",
            )


def _check_windows(
    workspace: Workspace, store: TriggerStore, factory: Factory, key: TriggerKey, rule: Tumbling
) -> None:
    rules_needed(Site(workspace, store, factory), rule)
    last = store.last_window(key)
    if last is not None and not is_window(rule, Window(*last)):
        raise ConflictError(
            f"The trigger has windows that its rule does not give: {wire_time(last[0])} to {wire_time(last[1])}.",
            cure="frequency, interval and startTime cannot change: put them back, or give the trigger another name.",
        )
