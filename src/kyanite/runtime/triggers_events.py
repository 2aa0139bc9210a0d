"""Storage events on their way from the accounts' notes to the triggers that wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from kyanite.definitions.model import Resource
from kyanite.engine.triggers.starts import event_scope
from kyanite.engine.triggers.storage_events import CREATED, DELETED, BlobEvent, StorageEvents
from kyanite.engine.triggers.values import us_text
from kyanite.errors import KyaniteError, NotFoundError
from kyanite.runtime.triggers_fire import Log, Site, fire
from kyanite.runtime.triggers_store import TriggerState
from kyanite.runtime.workspace import Workspace
from kyanite.storage import StorageAccount, events

_KINDS = {events.CREATED: CREATED, events.DELETED: DELETED}


@dataclass(frozen=True)
class Subscription:
    """A started storage event trigger."""

    site: Site
    trigger: Resource
    rule: StorageEvents
    state: TriggerState


def subscribe(workspace: Workspace, rule: StorageEvents) -> None:
    """Let the trigger's account note its events; NotFoundError when the workspace does not have it."""
    account = workspace.accounts.get(rule.account)
    if account is None:
        raise NotFoundError(
            f"The workspace has no storage account '{rule.account}', so nobody would notice its events.",
            cure=f"Make it: kyanite init --account {rule.account}",
        )
    events.listen(account.folder)


def unsubscribe(workspace: Workspace, account_name: str) -> None:
    """Let an account note nothing any more: no started trigger waits for it."""
    account = workspace.accounts.get(account_name)
    if account is not None:
        events.stop_listening(account.folder)


def handle_events(workspace: Workspace, subscriptions: Sequence[Subscription], now: datetime, log: Log) -> list[str]:
    """Fire the triggers that wait for what was noted since the last time; the ids of the pipeline runs.

    A note is forgotten when all its runs are durable. Handling one twice makes nothing twice.
    """
    made: list[str] = []
    for name in workspace.accounts.names():
        account = workspace.accounts.get(name)
        if account is None or not events.is_listening(account.folder):
            continue
        for note in events.noted(account.folder):
            try:
                for index in range(len(note.paths)):
                    made += _handle(account, note, index, subscriptions, now)
            except KyaniteError as error:
                log(f"storage event {note.name} of {name} is tried again: {error}")
                break
            events.forget(account.folder, note)
    return made


def _handle(
    account: StorageAccount, note: events.Note, index: int, subscriptions: Sequence[Subscription], now: datetime
) -> list[str]:
    path = note.paths[index]
    if not any(item.rule.account == account.name for item in subscriptions):
        return []
    entry = account.stat(note.container, path) if note.kind == events.CREATED else None
    blob = BlobEvent(
        id=f"{note.name}/{index}",
        account=account.name,
        kind=_KINDS[note.kind],
        path=f"{note.container}/{path}",
        size=entry.size if entry is not None else None,
        at=note.at,
    )
    made: list[str] = []
    for item in subscriptions:
        if item.rule.matches(blob) and blob.at >= item.state.since:
            scope = event_scope(item.trigger.name, blob, now)
            made += fire(
                item.site,
                item.trigger,
                f"{blob.path} ({blob.id})",
                scope,
                _properties(blob, now),
                now,
                claim=partial(item.site.store.is_started, item.state),
            )
    return made


def _properties(blob: BlobEvent, now: datetime) -> Mapping[str, str]:
    folder, _, name = blob.path.rpartition("/")
    return {
        "TriggerTime": us_text(now),
        "EventType": blob.kind,
        "FolderPath": folder,
        "FileName": name,
    }
