"""What a deployment would change, resource by resource; nothing is made and no key is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any
from uuid import uuid4

from kyanite.batch.pool_spec import rest_from_arm
from kyanite.definitions.arm import ArmResource
from kyanite.definitions.arm_environment import NO_ID, Environment
from kyanite.definitions.model import ARM_SEGMENTS, Factory
from kyanite.errors import BatchError
from kyanite.runtime.clock import utc_now
from kyanite.runtime.deploy import BATCH, FACTORY, STORAGE, is_there, merged_factory, understand
from kyanite.runtime.publish import differences, published_factory
from kyanite.runtime.secret_values import named_by_value
from kyanite.runtime.workspace import Workspace

Json = Any

CREATE, MODIFY, NO_CHANGE, IGNORE = "Create", "Modify", "NoChange", "Ignore"
_WORDS = {"added": CREATE, "changed": MODIFY}
_UNKNOWN_KEY = "(a key that the deployment makes)"


@dataclass(frozen=True)
class Change:
    """What would happen to one resource: `change` in ARM's words, `lines` a unified diff without secrets."""

    type: str
    name: str
    change: str
    lines: tuple[str, ...] = ()


def what_if(
    workspace: Workspace,
    template: Mapping[str, Json],
    parameters: Mapping[str, Json],
    *,
    resource_group: str = "kyanite",
    location: str = "local",
    subscription: str = NO_ID,
) -> list[Change]:
    """The changes that `deploy` with the same arguments would make; it raises what `deploy` would."""
    environment = Environment(
        subscription_id=subscription,
        resource_group=resource_group,
        location=location,
        list_keys=lambda kind, name, _: _known_keys(workspace, kind, name),
        exists=lambda kind, name: is_there(workspace, kind, name),
        now=utc_now,
        new_guid=uuid4,
    )
    understood = understand(template, parameters, environment)
    workspace.vault.register(named_by_value(understood.evaluated.secure_values))
    changes: list[Change] = []
    for resource in understood.evaluated.resources:
        look = _LOOKS.get(resource.type.casefold())
        if look is not None:
            changes.append(look(workspace, resource))
        elif not f"{resource.type.casefold()}/".startswith(f"{FACTORY}/"):
            changes.append(Change(resource.type, resource.name, IGNORE))
    for factory in understood.factories.values():
        changes += _factory_changes(workspace, factory)
    return changes


def _known_keys(workspace: Workspace, kind: str, name: str) -> list[str]:
    area, keys = ("batch", ("primary", "secondary")) if kind.casefold() == BATCH else ("storage", ("key1", "key2"))
    return [workspace.vault.get(f"{area}/{name}/{key}") or _UNKNOWN_KEY for key in keys]


def _storage_account(workspace: Workspace, resource: ArmResource) -> Change:
    found = workspace.accounts.get(resource.name)
    return Change(resource.type, resource.name, CREATE if found is None else NO_CHANGE)


def _container(workspace: Workspace, resource: ArmResource) -> Change:
    name, _, container = resource.name.split("/")
    account = workspace.accounts.get(name)
    there = account is not None and account.stat(container, "") is not None
    return Change(resource.type, resource.name, NO_CHANGE if there else CREATE)


def _batch_account(workspace: Workspace, resource: ArmResource) -> Change:
    known = {account.name.casefold() for account in workspace.batch.accounts()}
    return Change(resource.type, resource.name, NO_CHANGE if resource.name.casefold() in known else CREATE)


def _pool(workspace: Workspace, resource: ArmResource) -> Change:
    account, pool = resource.name.split("/")
    new = rest_from_arm(pool, resource.properties)
    try:
        old = dict(workspace.batch.pool(account, pool).spec.document)
    except BatchError:
        return Change(resource.type, resource.name, CREATE)
    lines = _diff(workspace, resource.name, old, {**new, "id": old.get("id", pool)})
    return Change(resource.type, resource.name, MODIFY if lines else NO_CHANGE, lines)


_LOOKS: Mapping[str, Callable[[Workspace, ArmResource], Change]] = {
    BATCH: _batch_account,
    f"{BATCH}/pools": _pool,
    STORAGE: _storage_account,
    f"{STORAGE}/blobservices/containers": _container,
}


def _factory_changes(workspace: Workspace, factory: Factory) -> list[Change]:
    published = published_factory(workspace, factory.name)
    is_new = factory.name.casefold() not in {name.casefold() for name in workspace.factories()}
    changes = [Change("Microsoft.DataFactory/factories", factory.name, CREATE if is_new else NO_CHANGE)]
    found = {
        (each.kind, each.name.casefold()): each
        for each in differences(workspace, merged_factory(workspace, factory), published)
    }
    for resource in factory.resources:
        different = found.get((resource.kind, resource.name.casefold()))
        change = _WORDS.get(different.change, MODIFY) if different else NO_CHANGE
        kind = f"Microsoft.DataFactory/factories/{ARM_SEGMENTS.get(resource.kind, resource.kind)}"
        lines = different.lines if different and change == MODIFY else ()
        changes.append(Change(kind, f"{factory.name}/{resource.name}", change, lines))
    return changes


def _diff(workspace: Workspace, name: str, old: Json, new: Json) -> tuple[str, ...]:
    def lines(document: Json) -> list[str]:
        if document is None:
            return []
        text = json.dumps(workspace.vault.mask_json(document), indent=2, sort_keys=True, ensure_ascii=False)
        return text.splitlines()

    return tuple(unified_diff(lines(old), lines(new), f"deployed/{name}", f"template/{name}", lineterm=""))
