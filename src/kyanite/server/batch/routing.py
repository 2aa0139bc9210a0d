"""Which operation a method and a path mean. Paths are taken apart while still percent-encoded, then decoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from kyanite.errors import BatchError
from kyanite.server.batch.operations import OPERATIONS, Operation

_REST = "{filePath}"


@dataclass(frozen=True)
class Route:
    """An operation and the decoded parts of the path it names (`poolId`, `filePath`, ...)."""

    operation: Operation
    parameters: Mapping[str, str]


def find_route(method: str, rest: str) -> Route:
    """The operation of a raw path below the account. ResourceNotFound, UnsupportedHttpVerb.

    Empty steps before a file's path are left out, words match in any case; a file's path takes all that follows,
    whether its slashes are encoded or not.
    """
    steps = rest.split("/")
    methods: set[str] = set()
    for operation in OPERATIONS:
        parameters = match(operation.steps, steps)
        if parameters is None:
            continue
        if operation.method == method:
            return Route(operation, parameters)
        methods.add(operation.method)
    if methods:
        raise BatchError(
            f"The resource doesn't support the HTTP verb {method}, only {', '.join(sorted(methods))}.",
            code="UnsupportedHttpVerb",
        )
    raise BatchError("The specified resource does not exist.", code="ResourceNotFound")


def match(template: Sequence[str], steps: Sequence[str]) -> dict[str, str] | None:
    """The parameters with which a path fits a template, or None."""
    parameters: dict[str, str] = {}
    at = 0
    for wanted in template:
        while at < len(steps) - 1 and not steps[at] and wanted != _REST:
            at += 1
        if at == len(steps):
            return None
        if wanted == _REST:
            parameters["filePath"] = unquote("/".join(steps[at:]))
            return parameters if parameters["filePath"] else None
        found = unquote(steps[at])
        if wanted.startswith("{"):
            if not found:
                return None
            parameters[wanted[1:-1]] = found
        elif wanted.endswith("("):
            if not found.lower().startswith(wanted):
                return None
        elif found.lower() != wanted:
            return None
        at += 1
    return parameters if not any(steps[at:]) else None
