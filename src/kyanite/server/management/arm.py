"""A call of the management API as its handlers see it: who asks, for what, with which body; and how they refuse."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from kyanite.definitions.json_text import read_json
from kyanite.errors import KyaniteError
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.tokens import Identity

Json = Any
Value = TypeVar("Value")

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"  # how templates of most routes begin

_TEXT_OR_BARE_KEY = re.compile(r'"(?:[^"\\]|\\.)*"|(?<=[{,])(\s*)([A-Za-z_]\w*)(\s*:)', re.DOTALL)


class ArmError(KyaniteError):
    """A refusal with the status, code, target and headers that the caller gets."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        target: str | None = None,
        details: Sequence[Mapping[str, Json]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.http_status = status
        self.target = target
        self.details = list(details)
        self.headers = dict(headers or {})


Handler = Callable[["ArmCall"], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `template` is the whole path with `{names}`, literal parts match in any case.

    `role` is the least one that may call it; without a handler the operation is refused by name (501).
    """

    method: str
    template: str
    operation: str
    role: str
    handler: Handler | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """The routes of one namespace; `api_versions` are those it speaks, newest first (none given: any)."""

    namespace: str
    routes: tuple[Route, ...]
    api_versions: tuple[str, ...] = ()


class Shared:
    """Things that live as long as the server, made when first asked for: caches, stores."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._made: dict[Callable[[ServerContext], Any], Any] = {}

    def get(self, make: Callable[[ServerContext], Value]) -> Value:
        """What `make` made of the context, once for this server."""
        if make not in self._made:
            self._made[make] = make(self._context)
        value: Value = self._made[make]
        return value


@dataclass(frozen=True)
class ArmCall:
    """One authenticated and permitted call. `names` are what the route's `{names}` stand for, decoded.

    `segments` is the whole path, decoded, empty parts left out. `provider` is the namespace in lower case,
    `microsoft.resources` for paths without one. `write` runs a short piece of work on the workspace's database, in one
    commit with those of other calls and with this call's entry in the audit log.
    """

    context: ServerContext
    request: Request
    route: Route
    identity: Identity
    provider: str
    segments: tuple[str, ...]
    names: Mapping[str, str]
    content: bytes = field(repr=False)
    shared: Shared = field(repr=False)
    write: Callable[[Callable[[], Any]], Awaitable[Any]] = field(repr=False)
    warnings: list[str] = field(default_factory=list)  # each becomes a Warning header of the answer

    @property
    def subscription(self) -> str:
        """The subscription's id as the caller wrote it, empty for paths outside of one."""
        return self.names.get("subscription", "")

    @property
    def resource_group(self) -> str:
        """The resource group's name as the caller wrote it, empty for paths outside of one."""
        return self.names.get("group", "")

    @property
    def api_version(self) -> str:
        """The `api-version` asked for."""
        return self.request.query.get("api-version")

    @cached_property
    def json(self) -> dict[str, Json]:
        """The body as an object, `{}` when there is none; ArmError `InvalidRequestContent` for anything else."""
        return read_body(self.content)

    def part(self, name: str) -> dict[str, Json]:
        """An object of the body, `{}` when it is not there or null; ArmError for anything else."""
        value = self.json.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ArmError(f"'{name}' is an object.", code="InvalidRequestContent", status=400, target=name)
        return value

    def link(self, **query: str) -> str:
        """The address of this call with other query arguments: for `nextLink`."""
        from urllib.parse import quote, urlencode

        path = "/".join(quote(segment, safe="") for segment in self.segments)
        return f"{self.request.origin}/{path}?{urlencode({'api-version': self.api_version, **query})}"


def read_body(content: bytes) -> dict[str, Json]:
    """A request's JSON object. Keys without quotes are taken too: the command line sends one in deployments."""
    if not content.strip():
        return {}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad_content(f"The request's body is not UTF-8 (byte {error.start}).") from None
    try:
        value = read_json(text, "body")
    except KyaniteError as first:
        try:
            value = read_json(_TEXT_OR_BARE_KEY.sub(_quoted, text), "body")
        except KyaniteError:
            raise bad_content(f"The request content was invalid and could not be deserialized: {first}") from None
    if not isinstance(value, dict):
        raise bad_content("The request's body is no JSON object.")
    return value


def bad_content(message: str) -> ArmError:
    """The body cannot be read."""
    return ArmError(message, code="InvalidRequestContent", status=400)


def _quoted(match: re.Match[str]) -> str:
    return match[0] if match[2] is None else f'{match[1]}"{match[2]}"{match[3]}'
