"""Deployments of ARM templates: validated, told beforehand, carried out beside the server's loop, remembered."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from kyanite.database import named_statements
from kyanite.definitions.arm import read_parameters
from kyanite.definitions.arm_environment import Environment
from kyanite.engine.events import utc_text
from kyanite.errors import KyaniteError, NotFoundError, TemplateError, UnsupportedError
from kyanite.runtime.deploy import Deployment, deploy, is_there, understand
from kyanite.runtime.what_if import Change, what_if
from kyanite.server.context import ServerContext
from kyanite.server.http import Response
from kyanite.server.management.arm import ArmCall, ArmError
from kyanite.server.management.failures import error_body
from kyanite.server.management.resources.groups import group_location

Json = Any
RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
_QUICK_SECONDS = 1.0  # a deployment that is done by then is answered as done
_TYPE = "Microsoft.Resources/deployments"
_SQL = named_statements("kyanite.server.management.resources", "deployments.sql")


@dataclass
class Running:
    """The deployments that this server carries out now: key -> set, and no longer here, when done."""

    done: dict[str, threading.Event] = field(default_factory=dict)


def running(context: ServerContext) -> Running:
    """One for each server."""
    return Running()


@dataclass(frozen=True)
class _Asked:
    """What a deployment's body asks for."""

    template: Mapping[str, Json] = field(repr=False)
    parameters: Mapping[str, Json] = field(repr=False)


def _asked(call: ArmCall) -> _Asked:
    properties = call.json.get("properties")
    if not isinstance(properties, dict):
        raise ArmError("The body has no 'properties'.", code="InvalidRequestContent", status=400, target="properties")
    for link in ("templateLink", "parametersLink"):
        if properties.get(link):
            raise UnsupportedError(
                f"'{link}' is not supported: nothing is fetched for a deployment.",
                where=f"properties.{link}",
                cure="Send the template itself.",
            )
    if str(properties.get("mode", "Incremental")).lower() != "incremental":
        raise UnsupportedError(
            "Complete mode is not supported: it would delete what the template does not name.",
            where="properties.mode",
            cure="Use Incremental.",
        )
    template, parameters = properties.get("template"), properties.get("parameters") or {}
    if not isinstance(template, dict):
        raise TemplateError("The deployment has no template.", where="properties.template")
    if not isinstance(parameters, dict):
        raise TemplateError("The parameters are no object.", where="properties.parameters")
    return _Asked(template, read_parameters({"parameters": parameters}))


async def put(call: ArmCall) -> Response:
    """Carry out a deployment: 201 while it goes on, 200 when it is done at once or was tried before."""
    asked = _asked(call)
    await asyncio.to_thread(_understand, call, asked)
    key = _key(call)
    known = call.shared.get(running).done
    if key in known:
        raise ArmError(
            f"The deployment '{call.names['deployment']}' is still going on.", code="DeploymentActive", status=409
        )
    done = known[key] = threading.Event()
    started = call.context.clock()
    correlation = str(uuid4())
    document = _document(call, asked, started, correlation)
    try:
        before = await asyncio.to_thread(_row, call)
        await asyncio.to_thread(_store, call, document, [], RUNNING, started)
        threading.Thread(
            target=_carry_out, args=(call, asked, document, started, done), name="kyanite-deployment", daemon=True
        ).start()
    except BaseException:
        del known[key]
        raise
    await asyncio.to_thread(done.wait, _QUICK_SECONDS)
    row = await asyncio.to_thread(_row, call)
    current = row[0] if row else document
    return Response.json(current, 200 if before and done.is_set() else 201, _headers(call, correlation))


def _headers(call: ArmCall, operation: str) -> dict[str, str]:
    address = call.link().partition("?")[0]
    return {
        "azure-asyncoperation": f"{address}/operationStatuses/{operation}?api-version={call.api_version}",
        "retry-after": "1",
    }


def _understand(call: ArmCall, asked: _Asked) -> Json:
    return understand(
        asked.template,
        asked.parameters,
        Environment(
            subscription_id=call.subscription,
            resource_group=call.resource_group,
            location=group_location(call),
            deployment_name=call.names["deployment"],
            list_keys=lambda kind, name, version: ["(made by the deployment)"] * 2,
            exists=lambda kind, name: is_there(call.context.workspace, kind, name),
            now=call.context.clock,
            new_guid=uuid4,
        ),
    )


def _carry_out(
    call: ArmCall, asked: _Asked, document: dict[str, Json], started: datetime, done: threading.Event
) -> None:
    properties = dict(document["properties"])
    operations: list[Json] = []
    try:
        made = deploy(
            call.context.workspace,
            asked.template,
            asked.parameters,
            resource_group=call.resource_group,
            location=group_location(call),
            subscription=call.subscription,
            deployment_name=call.names["deployment"],
        )
        state = SUCCEEDED
        properties["outputs"] = _outputs(made.outputs)
        properties["outputResources"] = [{"id": _id(call, each["type"], each["name"])} for each in made.resources]
        operations = _operations(call, made, started)
    except Exception as error:  # noqa: BLE001 - told by the deployment's own document
        state = FAILED
        properties["error"] = _failure(call, error)
    finished = call.context.clock()
    properties |= {
        "provisioningState": state,
        "timestamp": utc_text(finished),
        "duration": f"PT{max(0.0, (finished - started).total_seconds()):.3f}S",
    }
    try:
        _store(call, {**document, "properties": properties}, operations, state, started)
    finally:
        del call.shared.get(running).done[_key(call)]
        done.set()


def _failure(call: ArmCall, error: Exception) -> dict[str, Json]:
    inner = call.context.workspace.vault.mask_json(error_body(error))["error"]
    if not isinstance(error, KyaniteError):
        return dict(inner)
    return {"code": "DeploymentFailed", "message": inner["message"], "details": [inner]}


def _outputs(outputs: Mapping[str, Json]) -> dict[str, Json]:
    """The outputs; those of a secure type without their values."""
    shown = {}
    for name, output in outputs.items():
        kind = str(output.get("type", "String"))
        shown[name] = {"type": kind} if kind.lower().startswith("secure") else {"type": kind, "value": output["value"]}
    return shown


def _operations(call: ArmCall, made: Deployment, started: datetime) -> list[Json]:
    found = []
    for each in made.resources:
        identity = hashlib.sha256(f"{each['type']}/{each['name']}".encode()).hexdigest()[:16].upper()
        found.append(
            {
                "operationId": identity,
                "properties": {
                    "provisioningOperation": "Create",
                    "provisioningState": SUCCEEDED,
                    "timestamp": utc_text(call.context.clock()),
                    "trackingId": str(uuid4()),
                    "statusCode": "OK",
                    "targetResource": {
                        "id": _id(call, each["type"], each["name"]),
                        "resourceType": each["type"],
                        "resourceName": each["name"],
                    },
                },
            }
        )
    return found


async def validate(call: ArmCall) -> Response:
    """Evaluate the template with its parameters; 400 with the reason when it cannot be deployed."""
    asked = _asked(call)
    found = await asyncio.to_thread(_understand, call, asked)
    document = _document(call, asked, call.context.clock(), str(uuid4()))
    validated = [{"id": _id(call, each.type, each.name)} for each in found.evaluated.resources]
    document["properties"] |= {"provisioningState": SUCCEEDED, "validatedResources": validated}
    return Response.json(document)


async def tell_what_if(call: ArmCall) -> Response:
    """What the deployment would change."""
    asked = _asked(call)
    changes = await asyncio.to_thread(
        lambda: what_if(
            call.context.workspace,
            asked.template,
            asked.parameters,
            resource_group=call.resource_group,
            location=group_location(call),
            subscription=call.subscription,
        )
    )
    return Response.json(
        {"status": SUCCEEDED, "properties": {"changes": [_change(call, each) for each in changes]}, "error": None}
    )


def _change(call: ArmCall, change: Change) -> dict[str, Json]:
    identity = _id(call, change.type, change.name)
    resource = {"id": identity, "type": change.type, "name": change.name}
    document: dict[str, Json] = {"resourceId": identity, "changeType": change.change}
    if change.change != "Create":
        document["before"] = resource
    document["after"] = resource
    if change.lines:
        removed = "\n".join(line[1:] for line in change.lines if line.startswith("-") and not line.startswith("---"))
        added = "\n".join(line[1:] for line in change.lines if line.startswith("+") and not line.startswith("+++"))
        document["delta"] = [
            {"path": "properties", "propertyChangeType": "Modify", "before": removed, "after": added, "children": []}
        ]
    return document


async def get(call: ArmCall) -> Response:
    """A deployment; DeploymentNotFound."""
    return Response.json((await asyncio.to_thread(_required, call))[0])


async def exists(call: ArmCall) -> Response:
    """204, or 404."""
    return Response(204 if await asyncio.to_thread(_row, call) else 404)


async def list_all(call: ArmCall) -> Response:
    """The deployments of the group, newest first."""

    def read() -> list[Json]:
        workspace = call.context.workspace
        prefix = f"{call.subscription}/{call.resource_group}/".casefold()
        rows = workspace.database.query(
            _SQL["list"],
            {"first": prefix, "last": prefix[:-1] + "0"},
        )
        return [workspace.vault.mask_json(workspace.vault.open_json(row["document"])) for row in rows]

    return Response.json({"value": await asyncio.to_thread(read)})


async def delete(call: ArmCall) -> Response:
    """Forget a deployment; what it made stays. 204, for which clients do not poll."""

    def drop() -> Response:
        call.context.workspace.database.execute(_SQL["drop"], {"key": _key(call)})
        return Response(204)

    return await asyncio.to_thread(drop)


async def list_operations(call: ArmCall) -> Response:
    """What the deployment did, resource by resource."""
    document, operations, _ = await asyncio.to_thread(_required, call)
    return Response.json({"value": [_operation(document, each) for each in operations]})


async def get_operation(call: ArmCall) -> Response:
    """One of them."""
    document, operations, _ = await asyncio.to_thread(_required, call)
    for each in operations:
        if each["operationId"].lower() == call.names["operation"].lower():
            return Response.json(_operation(document, each))
    raise NotFoundError("There is no such operation of the deployment.")


async def get_status(call: ArmCall) -> Response:
    """How far it is, for clients that poll."""
    document, _, state = await asyncio.to_thread(_required, call)
    answer: dict[str, Json] = {"status": state}
    if "error" in document["properties"]:
        answer["error"] = document["properties"]["error"]
    return Response.json(answer, headers={"retry-after": "1"} if state == RUNNING else {})


def _operation(document: Mapping[str, Json], operation: Mapping[str, Json]) -> dict[str, Json]:
    return {"id": f"{document['id']}/operations/{operation['operationId']}", **operation}


def _document(call: ArmCall, asked: _Asked, started: datetime, correlation: str) -> dict[str, Json]:
    digest = hashlib.sha256(json.dumps(asked.template, sort_keys=True).encode()).hexdigest()
    return {
        "id": _id(call, _TYPE, call.names["deployment"]),
        "name": call.names["deployment"],
        "type": _TYPE,
        "properties": {
            "templateHash": str(int(digest[:16], 16)),
            "parameters": _shown_parameters(asked),
            "mode": "Incremental",
            "provisioningState": RUNNING,
            "timestamp": utc_text(started),
            "duration": "PT0S",
            "correlationId": correlation,
            "providers": [],
            "dependencies": [],
        },
    }


def _shown_parameters(asked: _Asked) -> dict[str, Json]:
    """The parameters by their declared types; secure ones without their values."""
    declared = asked.template.get("parameters") or {}
    types = {name.lower(): str(each.get("type", "string")) for name, each in declared.items() if isinstance(each, dict)}
    shown: dict[str, Json] = {}
    for name, value in asked.parameters.items():
        kind = types.get(name.lower(), "string")
        shown[name] = {"type": kind} if kind.lower().startswith("secure") else {"type": kind, "value": value}
    return shown


def _id(call: ArmCall, kind: str, name: str) -> str:
    namespace, _, types = kind.partition("/")
    pairs = zip(types.split("/"), name.split("/"), strict=False)
    path = "/".join(f"{one}/{other}" for one, other in pairs)
    return f"/subscriptions/{call.subscription}/resourceGroups/{call.resource_group}/providers/{namespace}/{path}"


def _key(call: ArmCall) -> str:
    return f"{call.subscription}/{call.resource_group}/{call.names['deployment']}".casefold()


def _store(call: ArmCall, document: Mapping[str, Json], operations: list[Json], state: str, started: datetime) -> None:
    workspace = call.context.workspace
    workspace.database.execute(
        _SQL["write"],
        {
            "key": _key(call),
            "document": workspace.vault.seal_json(document),
            "operations": workspace.vault.seal_json(operations),
            "state": state,
            "at": utc_text(started),
        },
    )


def _row(call: ArmCall) -> tuple[dict[str, Json], list[Json], str] | None:
    workspace = call.context.workspace
    goes_on = _key(call) in call.shared.get(running).done  # asked first: it ends after its row was written
    rows = workspace.database.query(_SQL["read"], {"key": _key(call)})
    if not rows:
        return None
    document = workspace.vault.mask_json(workspace.vault.open_json(rows[0]["document"]))
    state = rows[0]["state"]
    if state == RUNNING and not goes_on:  # the server that carried it out has gone
        state = FAILED
        document["properties"] |= {
            "provisioningState": FAILED,
            "error": {"code": "DeploymentInterrupted", "message": "The server ended meanwhile; deploy again."},
        }
    return document, workspace.vault.open_json(rows[0]["operations"]), state


def _required(call: ArmCall) -> tuple[dict[str, Json], list[Json], str]:
    found = _row(call)
    if found is None:
        raise ArmError(
            f"Deployment '{call.names['deployment'][:90]}' could not be found.", code="DeploymentNotFound", status=404
        )
    return found
