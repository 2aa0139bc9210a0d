"""Calls to the management API without sockets: `Front` answers as the server would, and knows the owner's token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kyanite.runtime.workspace import Workspace
from kyanite.server.app import Application
from kyanite.server.context import ServerContext
from kyanite.server.http import Query, Request, split_host
from kyanite.server.tokens import Identity, admin_key, issue_token

Json = Any
SCOPE = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/rg"
FACTORY = f"{SCOPE}/providers/Microsoft.DataFactory/factories/airline"
VERSION = "api-version=2018-06-01"


@dataclass(frozen=True)
class Answer:
    """What came back; `json` is the body, `None` without one."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body) if self.body else None

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.json["error"]["code"])


class Front:
    """The application on a workspace, called in process."""

    def __init__(self, workspace: Workspace, context: ServerContext | None = None) -> None:
        self.workspace = workspace
        self.context = context or ServerContext(workspace)
        self._application = Application(self.context)
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(1))
        self._loop.run_until_complete(asyncio.wait_for(self._loop.run_in_executor(None, int), 10))

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def token(self, *roles: str) -> str:
        """A token of somebody with these roles."""
        who = Identity("somebody", "user", frozenset(roles))
        return issue_token(
            self.workspace.vault, who, audience="https://management.azure.com", seconds=600, now=self.context.clock()
        )

    def call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        token: str | None = "owner",
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """One request; `token` None sends none, "owner" the owner's. The api-version is added where none is given."""
        raw, _, query = path.partition("?")
        if "api-version" not in query:
            query = f"{query}&{VERSION}".lstrip("&")
        if content is None:
            content = b"" if body is None else json.dumps(body).encode()
        sent = {"host": "127.0.0.1:8080", "content-length": str(len(content)), **(headers or {})}
        if token is not None:
            key = admin_key(self.workspace.vault) if token == "owner" else token
            sent["authorization"] = f"Bearer {key}"
        return self._loop.run_until_complete(self._answer(method, raw, query, sent, content))

    def get(self, path: str, **more: Any) -> Answer:
        return self.call("GET", path, **more)

    def put(self, path: str, body: Json, **more: Any) -> Answer:
        return self.call("PUT", path, body, **more)

    def post(self, path: str, body: Json = None, **more: Any) -> Answer:
        return self.call("POST", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.call("DELETE", path, **more)

    async def _answer(self, method: str, raw: str, query: str, headers: Mapping[str, str], content: bytes) -> Answer:
        pieces = [content] if content else []
        host, port = split_host(headers["host"])

        async def receive() -> bytes:
            return pieces.pop() if pieces else b""

        request = Request(
            method=method,
            scheme="http",
            host=host,
            port=port,
            raw_path=raw.encode("utf-8", "surrogateescape").decode("latin-1"),
            query=Query(query.encode("utf-8", "surrogateescape").decode("latin-1")),
            headers={name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()},
            client="127.0.0.1",
            receive=receive,
        )
        response = await self._application(request)
        assert isinstance(response.body, bytes | bytearray)
        return Answer(response.status, response.headers, b"" if method == "HEAD" else bytes(response.body))


PIPELINE = {
    "properties": {
        "activities": [
            {
                "name": "set",
                "type": "SetVariable",
                "typeProperties": {"variableName": "v", "value": "@string(pipeline().parameters.n)"},
            }
        ],
        "variables": {"v": {"type": "String"}},
        "parameters": {"n": {"type": "Int", "defaultValue": 4}},
    }
}
BLOB = {
    "properties": {
        "type": "AzureBlobStorage",
        "typeProperties": {
            "connectionString": {
                "type": "SecureString",
                "value": "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=c2VjcmV0LWtleS1vZi1hY2N0",
            }
        },
    }
}
DATASET = {
    "properties": {
        "type": "Parquet",
        "linkedServiceName": {"referenceName": "Store", "type": "LinkedServiceReference"},
        "typeProperties": {"location": {"type": "AzureBlobStorageLocation", "container": "files"}},
    }
}
SCHEDULE = {
    "properties": {
        "type": "ScheduleTrigger",
        "pipelines": [{"pipelineReference": {"referenceName": "P", "type": "PipelineReference"}, "parameters": {}}],
        "typeProperties": {
            "recurrence": {
                "frequency": "Minute",
                "interval": 1,
                "startTime": "2020-01-01T00:00:00Z",
                "timeZone": "UTC",
            }
        },
    }
}
