"""Factories themselves, and the calls that Data Factory's own studio makes about them."""

from __future__ import annotations

import asyncio
import platform
from dataclasses import replace
from typing import Any

from kyanite.definitions.load import with_resource, without_resource
from kyanite.definitions.model import Factory, make_resource
from kyanite.errors import NotFoundError
from kyanite.runtime.factory_shelf import LiveFactory
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.datafactory.documents import hide, put_back
from kyanite.server.management.datafactory.names import API_VERSION, KINDS, NAMESPACE, factory_id, not_found
from kyanite.server.management.datafactory.resources import check_conditions, names_etag, page_of, shelf
from kyanite.server.management.datafactory.validation import check_factory_name

Json = Any
DEFAULT_LOCATION = "local"
_GLOBALS = "default"  # the one document of global parameters that a factory has


async def list_factories(call: ArmCall) -> Response:
    """All factories of the workspace: it is one resource group under any name."""
    return await asyncio.to_thread(_list, call)


def _list(call: ArmCall) -> Response:
    factories = call.shared.get(shelf)
    page, following = page_of(call, factories.names(), str)
    found = []
    for name in page:
        try:
            found.append(factories.get(name))
        except NotFoundError:
            continue  # deleted just now
    return Response.json({"value": [_wire(call, live) for live in found], **following})


async def get_factory(call: ArmCall) -> Response:
    """One factory; 304 when the caller has it already."""
    live = await asyncio.to_thread(call.shared.get(shelf).get, call.names["factory"])
    etag = live.etag()
    if names_etag(call.request.headers.get("if-none-match"), etag):
        return Response(304, {"etag": f'"{etag}"'})
    return Response.json(_wire(call, live), headers={"etag": f'"{etag}"'})


async def put_factory(call: ArmCall) -> Response:
    """Create a factory, or replace its own document; its resources stay."""
    return await asyncio.to_thread(_put, call)


def _put(call: ArmCall) -> Response:
    name = call.names["factory"]
    check_factory_name(name)
    factories = call.shared.get(shelf)
    given: dict[str, Json] = {
        key: call.json[key] for key in ("location", "tags", "identity", "properties") if key in call.json
    }
    if not all(isinstance(given.get(key, {}), dict) for key in ("tags", "identity", "properties")):
        raise ArmError("tags, identity and properties are objects.", code="BadRequest", status=400)
    if not isinstance(given.get("location", ""), str):
        raise ArmError("The location is a text.", code="BadRequest", status=400)
    if name.casefold() not in {known.casefold() for known in factories.names()}:
        check_conditions(call, None)
        live = factories.create(name, {"name": name, "location": DEFAULT_LOCATION, "properties": {}, **given})
        return Response.json(_wire(call, live), headers={"etag": f'"{live.etag()}"'})
    return _change(call, lambda old: {**old, **given})


async def patch_factory(call: ArmCall) -> Response:
    """Change tags, identity or `properties.publicNetworkAccess`."""
    return await asyncio.to_thread(_patch, call)


def _patch(call: ArmCall) -> Response:
    given: dict[str, Json] = {
        key: call.json[key] for key in ("tags", "identity") if isinstance(call.json.get(key), dict)
    }
    properties = call.json.get("properties")

    def merge(old: dict[str, Json]) -> dict[str, Json]:
        new = {**old, **given}
        if isinstance(properties, dict):
            new["properties"] = {**(old.get("properties") or {}), **properties}
        return new

    return _change(call, merge)


def _change(call: ArmCall, merge: Any) -> Response:
    def edit(live: LiveFactory) -> Factory:
        check_conditions(call, live.etag())
        old = dict(live.factory.document) or {"name": live.factory.name, "properties": {}}
        new = merge(old)
        new["properties"] = put_back(
            new.get("properties"), old.get("properties"), hide(old.get("properties"), _masker(call))
        )
        return live.factory if new == live.factory.document else replace(live.factory, document=new)

    live = call.shared.get(shelf).change(call.names["factory"], edit)
    return Response.json(_wire(call, live), headers={"etag": f'"{live.etag()}"'})


async def delete_factory(call: ArmCall) -> Response:
    """Delete a factory: 200, or 204 when there was none. Its runs stay; a linked git folder keeps its files."""
    try:
        await asyncio.to_thread(call.shared.get(shelf).delete, call.names["factory"])
    except NotFoundError:
        return Response(204)
    return Response(200)


def _wire(call: ArmCall, live: LiveFactory) -> dict[str, Json]:
    document = live.factory.document
    properties = document.get("properties") if isinstance(document.get("properties"), dict) else {}
    return {
        "id": factory_id(call, live.factory.name),
        "name": live.factory.name,
        "type": f"{NAMESPACE}/factories",
        "location": live.factory.location or DEFAULT_LOCATION,
        "tags": document.get("tags") or {},
        **({"identity": document["identity"]} if document.get("identity") else {}),
        "eTag": live.etag(),
        "properties": {
            **hide(properties, _masker(call)),
            "provisioningState": "Succeeded",
            "createTime": f"{live.created_at[:-1]}0Z",
            "version": API_VERSION,
        },
    }


def _masker(call: ArmCall) -> Any:
    return call.context.workspace.vault.mask_json


# ---- global parameters: one document called `default`, wherever the folder keeps them


async def list_global_parameters(call: ArmCall) -> Response:
    """The one document, when there are global parameters."""
    live = await asyncio.to_thread(call.shared.get(shelf).get, call.names["factory"])
    there = bool(live.factory.global_parameter_documents)
    return Response.json({"value": [_globals(call, live)] if there else []})


async def get_global_parameters(call: ArmCall) -> Response:
    """The global parameters."""
    live = await asyncio.to_thread(call.shared.get(shelf).get, call.names["factory"])
    name = call.names["name"]
    if name.lower() != _GLOBALS or not live.factory.global_parameter_documents:
        raise not_found(KINDS["globalparameters"], name, call.request.rest[:400])
    body = _globals(call, live)
    return Response.json(body, headers={"etag": f'"{body["etag"]}"'})


async def put_global_parameters(call: ArmCall) -> Response:
    """Replace the global parameters."""
    properties = call.json.get("properties")
    if call.names["name"].lower() != _GLOBALS:
        raise ArmError("Global parameters are called 'default'.", code="BadRequest", status=400)
    if not isinstance(properties, dict) or not all(_is_parameter(each) for each in properties.values()):
        raise ArmError(
            'The properties are no global parameters: write {"name": {"type": ..., "value": ...}}.',
            code="BadRequest",
            status=400,
        )

    def edit(live: LiveFactory) -> Factory:
        old = live.factory.global_parameter_documents
        check_conditions(call, live.etag() if old else None)
        kept = put_back(properties, old, hide(old, _masker(call)))
        return _with_globals(live.factory, kept)

    live = await asyncio.to_thread(call.shared.get(shelf).change, call.names["factory"], edit)
    return Response.json(_globals(call, live))


async def delete_global_parameters(call: ArmCall) -> Response:
    """Remove all global parameters: 200, or 204 when there were none."""
    was_there = False

    def edit(live: LiveFactory) -> Factory:
        nonlocal was_there
        was_there = bool(live.factory.global_parameter_documents) and call.names["name"].lower() == _GLOBALS
        return _with_globals(live.factory, {}) if was_there else live.factory

    await asyncio.to_thread(call.shared.get(shelf).change, call.names["factory"], edit)
    return Response(200 if was_there else 204)


def _with_globals(factory: Factory, parameters: dict[str, Json]) -> Factory:
    """The factory with these global parameters: in the separate document when it has one, else in its own."""
    separate = [each for each in factory.resources if each.kind == "globalParameters"]
    own = dict(factory.document)
    properties = dict(own.get("properties") or {})
    if separate:
        first = separate[0]
        if parameters:
            changed = make_resource(first.kind, first.name, {**first.document, "properties": parameters}, first.file)
            factory = with_resource(factory, changed)
        else:
            factory = without_resource(factory, first.kind, first.name)
        properties.pop("globalParameters", None)
    elif parameters:
        properties["globalParameters"] = parameters
    else:
        properties.pop("globalParameters", None)
    if properties == (own.get("properties") or {}):
        return factory
    return replace(factory, document={"name": factory.name, **own, "properties": properties})


def _globals(call: ArmCall, live: LiveFactory) -> dict[str, Json]:
    return {
        "id": f"{factory_id(call, live.factory.name)}/globalParameters/{_GLOBALS}",
        "name": _GLOBALS,
        "type": f"{NAMESPACE}/factories/globalParameters",
        "etag": live.etag(),
        "properties": hide(live.factory.global_parameter_documents, _masker(call)),
    }


def _is_parameter(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str) and "value" in value


# ---- what the studio asks


async def get_data_plane_access(call: ArmCall) -> Response:
    """Where to talk to: this server; the caller's own token goes on being the key."""
    return Response.json({"policy": call.json, "accessToken": "", "dataPlaneUrl": f"{call.request.origin}/"})


async def get_feature_value(call: ArmCall) -> Response:
    """Every feature flag is off."""
    name = call.json.get("featureName")
    return Response.json({"featureName": name if isinstance(name, str) else "", "value": "False"})


async def query_feature_values(call: ArmCall) -> Response:
    """Every feature flag is off."""
    asked = call.json.get("exposureControlRequests")
    names = [each.get("featureName") for each in asked if isinstance(each, dict)] if isinstance(asked, list) else []
    return Response.json(
        {"exposureControlResponses": [{"featureName": n, "value": "False"} for n in names if isinstance(n, str)]}
    )


async def list_operations(call: ArmCall) -> Response:
    """The operations that there are, from the route table."""
    from kyanite.server.management.datafactory.routes import ROUTES

    return Response.json(
        {
            "value": [
                {
                    "name": f"{NAMESPACE}/{route.operation.replace('_', '/')}",
                    "origin": "user",
                    "display": {"provider": "kyanite", "operation": route.operation, "description": route.template},
                }
                for route in ROUTES
                if route.handler is not None
            ]
        }
    )


# ---- integration runtimes: everything runs in the server's own process


async def runtime_status(call: ArmCall) -> Response:
    """An integration runtime is always there: the process that serves."""
    live = await asyncio.to_thread(call.shared.get(shelf).get, call.names["factory"])
    name = call.names["name"]
    runtimes = live.factory.integration_runtimes
    if name not in runtimes and name.lower() != "autoresolveintegrationruntime":
        raise not_found(KINDS["integrationruntimes"], name, call.request.rest[:400])
    kind = runtimes[name].type if name in runtimes else "Managed"
    typed: dict[str, Json] = {"createTime": f"{live.created_at[:-1]}0Z"}
    if kind == "SelfHosted":
        typed |= {"version": API_VERSION, "nodes": [{"nodeName": platform.node(), "status": "Online"}]}
    return Response.json(
        {
            "name": name,
            "properties": {
                "type": kind or "Managed",
                "dataFactoryName": live.factory.name,
                "state": "Online",
                "typeProperties": typed,
            },
        }
    )
