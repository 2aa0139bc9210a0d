"""Resource groups. A workspace is one place: what it holds is seen in every group, and belongs to none alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kyanite.database import named_statements
from kyanite.definitions.export import SCHEMA
from kyanite.engine.events import utc_text
from kyanite.errors import ConflictError
from kyanite.runtime.export import factory_template
from kyanite.runtime.workspace import Workspace
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.resources.subscriptions import LOCATION

Json = Any
DEFAULT = "kyanite"  # there without having been made
_NAME_CHARACTERS = 90
_SQL = named_statements("kyanite.server.management.resources", "groups.sql")


async def put(call: ArmCall) -> Response:
    """Make a group (201), or give the one that exists new tags (200)."""
    return await asyncio.to_thread(_put, call)


def _put(call: ArmCall) -> Response:
    name = call.resource_group
    if len(name) > _NAME_CHARACTERS or not all(each.isalnum() or each in "-_.()" for each in name) or name[-1] == ".":
        raise ArmError(
            f"The name '{name[:100]}' is not valid for a resource group: up to 90 letters, digits, -, _, (, ) and ., "
            "no . at the end.",
            code="InvalidResourceGroup",
            status=400,
        )
    location = call.json.get("location")
    if not isinstance(location, str) or not location:
        raise ArmError("The location property is required.", code="LocationRequired", status=400, target="location")
    if not isinstance(call.json.get("tags") or {}, dict):
        raise ArmError("tags is an object.", code="InvalidRequestContent", status=400, target="tags")
    known = _read(call.context.workspace, call.subscription, name)
    document = {"location": location, "tags": call.json.get("tags") or {}}
    _write(call, known["name"] if known else name, document)
    return Response.json(_wire(call, {"name": known["name"] if known else name, **document}), 200 if known else 201)


async def patch(call: ArmCall) -> Response:
    """Change the tags."""

    def change() -> Response:
        group = _required(call)
        tags = call.json.get("tags", group["tags"])
        if not isinstance(tags, dict):
            raise ArmError("tags is an object.", code="InvalidRequestContent", status=400, target="tags")
        _write(call, group["name"], {"location": group["location"], "tags": tags})
        return Response.json(_wire(call, {**group, "tags": tags}))

    return await asyncio.to_thread(change)


async def get(call: ArmCall) -> Response:
    """One group; ResourceGroupNotFound."""
    return Response.json(_wire(call, await asyncio.to_thread(_required, call)))


async def exists(call: ArmCall) -> Response:
    """204, or 404."""
    found = await asyncio.to_thread(_read, call.context.workspace, call.subscription, call.resource_group)
    return Response(204 if found else 404)


async def list_all(call: ArmCall) -> Response:
    """All groups of the subscription."""

    def read() -> list[dict[str, Json]]:
        workspace = call.context.workspace
        prefix = f"{call.subscription.casefold()}/"
        rows = workspace.database.query(
            _SQL["list"],
            {"first": prefix, "last": prefix[:-1] + "0"},
        )
        found = [{"name": row["name"], **workspace.vault.open_json(row["document"])} for row in rows]
        if not any(each["name"].casefold() == DEFAULT for each in found):
            found.insert(0, {"name": DEFAULT, "location": LOCATION, "tags": {}})
        return found

    return Response.json({"value": [_wire(call, each) for each in await asyncio.to_thread(read)]})


async def delete(call: ArmCall) -> Response:
    """Forget a group; refused while the workspace holds anything, which would have to be deleted with it."""

    def drop() -> Response:
        group = _required(call)
        left = [each["id"].rpartition("/providers/")[2] for each in _resources(call)]
        if left:
            shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
            raise ConflictError(
                f"The resource group '{group['name']}' is not empty: it has {shown}. "
                "A workspace's resources are in all its groups; delete them one by one, then the group."
            )
        call.context.workspace.database.execute(_SQL["drop"], {"key": _key(call.subscription, group["name"])})
        return Response(200)

    return await asyncio.to_thread(drop)


async def list_resources(call: ArmCall) -> Response:
    """Everything the workspace holds; `$filter=resourceType eq '...'` narrows it."""
    found = await asyncio.to_thread(_resources, call)
    text = call.request.query.get("$filter")
    if text:
        words = text.split()
        if len(words) != 3 or words[0].lower() not in ("resourcetype", "name") or words[1].lower() != "eq":
            raise ArmError(
                "Supported are resourceType eq '...' and name eq '...'.", code="InvalidFilterInQueryString", status=400
            )
        member = "type" if words[0].lower() == "resourcetype" else "name"
        found = [each for each in found if each[member].lower() == words[2].strip("'").lower()]
    return Response.json({"value": found})


def _resources(call: ArmCall) -> list[dict[str, Json]]:
    workspace = call.context.workspace
    group = call.resource_group or DEFAULT
    base = f"/subscriptions/{call.subscription}/resourceGroups/{group}/providers"
    named = [
        *(("Microsoft.DataFactory/factories", name) for name in workspace.factories()),
        *(("Microsoft.Storage/storageAccounts", name) for name in workspace.accounts.names()),
        *(("Microsoft.Batch/batchAccounts", account.name) for account in workspace.batch.accounts()),
    ]
    return [
        {"id": f"{base}/{kind}/{name}", "name": name, "type": kind, "location": LOCATION, "tags": {}}
        for kind, name in named
    ]


async def export_template(call: ArmCall) -> Response:
    """The factories of the workspace as one template; secrets are parameters without values."""

    def export() -> dict[str, Json]:
        workspace = call.context.workspace
        merged: dict[str, Json] = {
            "$schema": SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": {},
            "variables": {},
            "resources": [],
        }
        for name in workspace.factories():
            template = factory_template(workspace, workspace.factory(name)).template
            suffix = "" if not merged["resources"] else f"_{name.replace('-', '_')}"
            text = _renamed(template, suffix)
            for part in ("parameters", "variables"):
                merged[part].update(text[part])
            merged["resources"] += text["resources"]
        return merged

    return Response.json({"template": await asyncio.to_thread(export)})


def _renamed(template: dict[str, Json], suffix: str) -> dict[str, Json]:
    """The template with a suffix on its parameters and variables, so that several fit into one."""
    if not suffix:
        return template
    names = {f"parameters('{name}')": f"parameters('{name}{suffix}')" for name in template["parameters"]}
    names |= {f"variables('{name}')": f"variables('{name}{suffix}')" for name in template["variables"]}

    def change(value: Json) -> Json:
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        if isinstance(value, list):
            return [change(item) for item in value]
        if isinstance(value, str) and value.startswith("[") and not value.startswith("[["):
            for old, new in names.items():
                value = value.replace(old, new)
        return value

    return {
        **change(template),
        "parameters": {f"{name}{suffix}": value for name, value in template["parameters"].items()},
        "variables": {f"{name}{suffix}": change(value) for name, value in template["variables"].items()},
    }


def _key(subscription: str, name: str) -> str:
    return f"{subscription}/{name}".casefold()


def _read(workspace: Workspace, subscription: str, name: str) -> dict[str, Json] | None:
    rows = workspace.database.query(_SQL["read"], {"key": _key(subscription, name)})
    if rows:
        return {"name": rows[0]["name"], **workspace.vault.open_json(rows[0]["document"])}
    return {"name": DEFAULT, "location": LOCATION, "tags": {}} if name.casefold() == DEFAULT else None


def group_location(call: ArmCall) -> str:
    """Where the group of a call was made; `local` when nobody made it."""
    found = _read(call.context.workspace, call.subscription, call.resource_group)
    return str(found["location"]) if found else LOCATION


def _required(call: ArmCall) -> dict[str, Json]:
    found = _read(call.context.workspace, call.subscription, call.resource_group)
    if found is None:
        raise ArmError(
            f"Resource group '{call.resource_group[:90]}' could not be found.", code="ResourceGroupNotFound", status=404
        )
    return found


def _write(call: ArmCall, name: str, document: Mapping[str, Json]) -> None:
    workspace = call.context.workspace
    workspace.database.execute(
        _SQL["write"],
        {
            "key": _key(call.subscription, name),
            "name": name,
            "document": workspace.vault.seal_json(document),
            "at": utc_text(call.context.clock()),
        },
    )


def _wire(call: ArmCall, group: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "id": f"/subscriptions/{call.subscription}/resourceGroups/{group['name']}",
        "name": group["name"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": group["location"],
        "tags": group["tags"],
        "properties": {"provisioningState": "Succeeded"},
    }
