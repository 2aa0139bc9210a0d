"""A working copy against what is published, and making the one the other."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from kyanite.definitions.model import Factory, Resource
from kyanite.definitions.problem import raise_errors
from kyanite.definitions.save import folder_files
from kyanite.errors import KyaniteError, NotFoundError
from kyanite.runtime.factory_folder import in_order_of, read_factory
from kyanite.runtime.secret_values import factory_secrets
from kyanite.runtime.triggers import CHANGED, runtime_state, start_trigger, stop_trigger
from kyanite.runtime.triggers_store import STARTED
from kyanite.runtime.workspace import Workspace

Json = Any


@dataclass(frozen=True)
class Difference:
    """One document that differs: `change` is added, changed or deleted; `lines` a unified diff, secrets masked."""

    kind: str
    name: str
    file: str
    change: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """What a publication changed, which triggers it started again, and what went wrong with them."""

    factory: str
    differences: tuple[Difference, ...]
    restarted: tuple[str, ...]
    stopped: tuple[str, ...]
    problems: tuple[str, ...]


def working_copy(workspace: Workspace, folder: Path, name: str | None = None) -> Factory:
    """The factory of a git folder under its own name or another one; NotFoundError without a folder."""
    if not folder.is_dir():
        raise NotFoundError("There is no such folder.", where=str(folder))
    return read_factory(workspace.vault, folder, name)


def published_factory(workspace: Workspace, name: str) -> Factory:
    """What the workspace has under a name: an empty factory when it has nothing."""
    known = {each.casefold() for each in workspace.factories()}
    return workspace.factory(name) if name.casefold() in known else Factory(name, ())


def differences(workspace: Workspace, copy: Factory, published: Factory) -> list[Difference]:
    """What publishing the working copy would change, by file."""
    workspace.vault.register(factory_secrets(copy))
    new, old = _documents(copy), _documents(published)
    found = []
    for key in sorted({*new, *old}):
        before, after = old.get(key), new.get(key)
        if before != after:
            found.append(_difference(workspace, key, before, after))
    return found


def publish(
    workspace: Workspace, copy: Factory, *, now: datetime, progress: Callable[[str], None] = lambda text: None
) -> Published:
    """Put the working copy in the place of what is published; triggers that were started are started again.

    Raises DefinitionError for files that cannot be read. A trigger that cannot be started again is told, not raised.
    """
    raise_errors(copy.problems)
    before = published_factory(workspace, copy.name)
    copy = replace(copy, name=before.name)
    found = differences(workspace, copy, before)
    if not found:
        return Published(copy.name, (), (), (), ())
    started = [each for each in before.triggers.values() if runtime_state(workspace, before, each)[0] == STARTED]
    stopped = [each.name for each in started if each.name not in copy.triggers]
    for name in stopped:
        stop_trigger(workspace, before, name, now=now)
        progress(f"trigger {name} stopped")
    workspace.save_factory(copy)
    progress(f"factory {copy.name} published")
    restarted, problems = _start_again(workspace, workspace.factory(copy.name), started, now)
    return Published(copy.name, tuple(found), tuple(restarted), tuple(stopped), tuple(problems))


def _start_again(
    workspace: Workspace, factory: Factory, started: list[Resource], now: datetime
) -> tuple[list[str], list[str]]:
    restarted, problems = [], []
    for old in started:
        trigger = factory.triggers.get(old.name, None)
        if trigger is None or runtime_state(workspace, factory, trigger) != ("Stopped", CHANGED):
            continue
        try:
            restarted.append(start_trigger(workspace, factory, trigger.name, now=now))
        except KyaniteError as error:
            stop_trigger(workspace, factory, trigger.name, now=now)
            problems.append(f"trigger {trigger.name} is stopped now: {error}")
    return restarted, problems


def _documents(factory: Factory) -> dict[tuple[str, str], tuple[str, Mapping[str, Json]]]:
    """(kind, name in lower case) -> file and what counts of the document."""
    found: dict[tuple[str, str], tuple[str, Mapping[str, Json]]] = {}
    for path, document in folder_files(replace(factory, document={})).items():
        resource = next((r for r in factory.resources if r.file == path), None)
        kind = path.split("/")[0] if resource is None else resource.kind
        name = str(document.get("name", path)) if resource is None else resource.name
        found[(kind, name.lower())] = (f"{kind}/{name}.json", {"properties": _behaviour(kind, document)})
    if factory.document.get("properties"):
        found[("factory", "")] = (factory.place, {"properties": factory.document["properties"]})
    return found


def _behaviour(kind: str, document: Mapping[str, Json]) -> Json:
    properties = document.get("properties", document)
    if kind == "trigger" and isinstance(properties, Mapping):
        return {name: value for name, value in properties.items() if name != "runtimeState"}
    return properties


def _difference(
    workspace: Workspace,
    key: tuple[str, str],
    before: tuple[str, Mapping[str, Json]] | None,
    after: tuple[str, Mapping[str, Json]] | None,
) -> Difference:
    file = (after or before or ("", {}))[0]
    change = "added" if before is None else "deleted" if after is None else "changed"
    old = _lines(workspace, before[1]) if before else []
    new = _lines(workspace, in_order_of(after[1], before[1] if before else None)) if after else []
    lines = difflib.unified_diff(old, new, f"published/{file}", f"working copy/{file}", lineterm="")
    name = file.rpartition("/")[2].removesuffix(".json")
    return Difference(key[0], name, file, change, tuple(lines))


def _lines(workspace: Workspace, document: Json) -> list[str]:
    return json.dumps(workspace.vault.mask_json(document), indent=2, ensure_ascii=False).splitlines()
