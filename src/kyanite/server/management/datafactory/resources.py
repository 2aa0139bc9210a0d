"""Pipelines, datasets, linked services and the other documents of a factory: create, read, list, delete."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from kyanite.definitions.load import with_resource, without_resource
from kyanite.definitions.model import Factory, Resource, make_resource
from kyanite.definitions.names import suggestion
from kyanite.limits import MANAGEMENT_PAGE, SECRET_MINIMUM_CHARACTERS
from kyanite.runtime.factory_shelf import FactoryShelf, LiveFactory
from kyanite.runtime.secret_values import secure_strings
from kyanite.runtime.triggers import runtime_state
from kyanite.server.context import ServerContext
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.datafactory.documents import hide, put_back
from kyanite.server.management.datafactory.inference import infer_types
from kyanite.server.management.datafactory.names import ENDPOINTS, KINDS, NAMESPACE, Kind, find, not_found, resource_id
from kyanite.server.management.datafactory.validation import check_name, referring, refuse_invalid

Json = Any


def shelf(context: ServerContext) -> FactoryShelf:
    """The factories of the server's workspace."""
    return FactoryShelf(context.workspace, clock=context.clock)


def live_factory(call: ArmCall) -> LiveFactory:
    """The factory that a call names."""
    return call.shared.get(shelf).get(call.names["factory"])


def kind_of(call: ArmCall) -> tuple[Kind, str]:
    """The kind and name of the resource that a call names; the name is empty for a list."""
    place = 8
    segment = call.segments[place].lower()
    if len(call.segments) > place + 2 and segment == "managedvirtualnetworks":
        network = call.names["network"]
        return ENDPOINTS, f"{network}/{call.names.get('name', '')}"
    return KINDS[segment], call.names.get("name", "")


# ---- reading


async def get_resource(call: ArmCall) -> Response:
    """One resource with its ETag; 304 when the caller has it already."""
    return await asyncio.to_thread(_get, call)


def _get(call: ArmCall) -> Response:
    live = live_factory(call)
    kind, name = kind_of(call)
    resource = find(live.factory, kind, name)
    if resource is None:
        known = [each.name for each in live.factory.resources if each.kind == kind.kind]
        error = not_found(kind, name, resource_id(call, live.factory.name, kind, name))
        error.cure = suggestion(name, known, f"{kind.what}s")
        raise error
    etag = live.etag(resource)
    if names_etag(call.request.headers.get("if-none-match"), etag):
        return Response(304, {"etag": f'"{etag}"'})
    return Response.json(wire(call, live, kind, resource), headers={"etag": f'"{etag}"'})


async def list_resources(call: ArmCall) -> Response:
    """The resources of a kind by name, a page at a time."""
    return await asyncio.to_thread(_list, call)


def _list(call: ArmCall) -> Response:
    live = live_factory(call)
    kind, prefix = kind_of(call)
    found = [each for each in live.factory.resources if each.kind == kind.kind]
    if kind is ENDPOINTS:
        found = [each for each in found if each.name.casefold().startswith(prefix.casefold())]
    page, following = page_of(call, found, lambda each: each.name)
    body: dict[str, Json] = {"value": [wire(call, live, kind, each) for each in page]}
    return Response.json({**body, **following})


def page_of(call: ArmCall, items: list[Any], name: Any) -> tuple[list[Any], dict[str, str]]:
    """One page of named things in order, and `{"nextLink"}` when there are more."""
    after = call.request.query.get("$skiptoken").casefold()
    ordered = sorted((each for each in items if name(each).casefold() > after), key=lambda each: name(each).casefold())
    if len(ordered) <= MANAGEMENT_PAGE:
        return ordered, {}
    page = ordered[:MANAGEMENT_PAGE]
    return page, {"nextLink": call.link(**{"$skiptoken": name(page[-1])})}


def wire(call: ArmCall, live: LiveFactory, kind: Kind, resource: Resource) -> dict[str, Json]:
    """A resource as the service writes it, without secrets. What is derived is remembered with the factory."""
    key = f"shown/{kind.kind}/{resource.name}"
    properties = live.remembered.get(key)
    if properties is None:
        properties = live.remembered[key] = shown(call, resource)
    if resource.kind == "trigger":
        state, _ = runtime_state(call.context.workspace, live.factory, resource)
        properties = {**properties, "runtimeState": state}
    return {
        "id": resource_id(call, live.factory.name, kind, resource.name),
        "name": resource.name.rpartition("/")[2],
        "type": f"{NAMESPACE}/factories/{kind.segment}",
        "etag": live.etag(resource),
        "properties": properties,
    }


def shown(call: ArmCall, resource: Resource) -> dict[str, Json]:
    """The properties of a resource without secrets."""
    hidden: dict[str, Json] = hide(resource.properties, call.context.workspace.vault.mask_json)
    return hidden


# ---- writing


async def put_resource(call: ArmCall) -> Response:
    """Create or replace a resource; If-Match and If-None-Match are honoured."""
    return await asyncio.to_thread(_put, call)


def _put(call: ArmCall) -> Response:
    kind, name = kind_of(call)
    for part in name.split("/"):
        check_name(part, kind.what)
    properties = call.json.get("properties")
    if not isinstance(properties, dict):
        raise ArmError("The document has no properties object.", code="BadRequest", status=400, target=name)
    infer_types(kind.kind, properties, call.warnings)

    def edit(live: LiveFactory) -> Factory:
        old = find(live.factory, kind, name)
        check_conditions(call, live.etag(old) if old is not None else None)
        new = _new_resource(call, live, kind, name, old, properties)
        if old is not None and kind.kind == "trigger":
            _refuse_started(call, live, old, "update")
        factory = with_resource(live.factory, new)
        target = resource_id(call, live.factory.name, kind, new.name)
        call.warnings.extend(refuse_invalid(factory, new, target))
        return live.factory if old is not None and old.document == new.document else factory

    changed = call.shared.get(shelf).change(call.names["factory"], edit)
    resource = find(changed.factory, kind, name)
    assert resource is not None  # noqa: S101 - it was written a moment ago under a lock
    return Response.json(wire(call, changed, kind, resource), headers={"etag": f'"{changed.etag(resource)}"'})


def _new_resource(
    call: ArmCall, live: LiveFactory, kind: Kind, name: str, old: Resource | None, properties: dict[str, Json]
) -> Resource:
    if old is not None:
        properties = put_back(properties, old.properties, shown(call, old))
    else:
        properties = put_back(properties, None, None)
    refuse_short_secrets(properties)
    if kind.kind == "trigger" and "runtimeState" in properties:
        was = old.properties.get("runtimeState") if old is not None else None
        properties = {key: value for key, value in properties.items() if key != "runtimeState"}
        properties |= {"runtimeState": was} if was is not None else {}
    spelled = old.name if old is not None else name
    envelope = dict(old.document) if old is not None else {"name": spelled.rpartition("/")[2]}
    return make_resource(
        kind.kind, spelled, {**envelope, "properties": properties}, old.file if old is not None else None
    )


def refuse_short_secrets(value: Json) -> None:
    """A SecureString that is too short to be recognised in other texts could not be kept out of the files."""
    for path, secret in secure_strings(value):
        if 0 < len(secret) < SECRET_MINIMUM_CHARACTERS:
            raise ArmError(
                f"A SecureString needs {SECRET_MINIMUM_CHARACTERS} characters or more: shorter ones cannot be kept "
                "out of logs.",
                code="BadRequest",
                status=400,
                target=f"properties{path.replace('/', '.')}",
            )


async def delete_resource(call: ArmCall) -> Response:
    """Delete a resource: 200, or 204 when there was none. One that others refer to is refused."""
    return await asyncio.to_thread(_delete, call)


def _delete(call: ArmCall) -> Response:
    kind, name = kind_of(call)
    was_there = False

    def edit(live: LiveFactory) -> Factory:
        nonlocal was_there
        old = find(live.factory, kind, name)
        if old is None:
            return live.factory
        was_there = True
        check_conditions(call, live.etag(old))
        if kind.kind == "trigger":
            _refuse_started(call, live, old, "delete")
        others = referring(live.factory, old)
        if others:
            raise ArmError(
                f"The document cannot be deleted since it is referenced by {', '.join(others[:10])}.",
                code="BadRequest",
                status=400,
                target=resource_id(call, live.factory.name, kind, old.name),
            )
        return without_resource(live.factory, old.kind, old.name)

    call.shared.get(shelf).change(call.names["factory"], edit)
    return Response(200 if was_there else 204)


def _refuse_started(call: ArmCall, live: LiveFactory, trigger: Resource, what: str) -> None:
    state, _ = runtime_state(call.context.workspace, live.factory, trigger)
    if state == "Started":
        raise ArmError(
            f"Cannot {what} enabled Trigger; the trigger needs to be disabled first.",
            code="TriggerEnabledCannotUpdate",
            status=400,
            target=trigger.name,
        )


def check_conditions(call: ArmCall, etag: str | None) -> None:
    """ArmError 412 unless If-Match and If-None-Match hold; `etag` None means that nothing is there."""
    headers = call.request.headers
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if wanted is not None and (etag is None or not names_etag(wanted, etag)):
        raise ArmError(
            "The condition specified using HTTP conditional header(s) is not met: the resource has changed.",
            code="PreconditionFailed",
            status=412,
        )
    if unwanted is not None and etag is not None and names_etag(unwanted, etag):
        raise ArmError(
            "The condition specified using HTTP conditional header(s) is not met: the resource exists.",
            code="PreconditionFailed",
            status=412,
        )


def names_etag(header: str | None, etag: str) -> bool:
    """Whether the ETag is one of those in an If-Match or If-None-Match header."""
    if header is None:
        return False
    listed = {each.strip().removeprefix("W/").strip('"') for each in header.split(",")}
    return "*" in listed or etag in listed


def with_document(factory: Factory, document: dict[str, Json]) -> Factory:
    """The factory with another document of its own."""
    return replace(factory, document=document, file=factory.file)
