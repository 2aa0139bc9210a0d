"""Which documents are refused, in Data Factory's words.

A type that kyanite does not run is stored all the same: it fails when a run needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kyanite.definitions.check_references import find_references
from kyanite.definitions.model import Factory, Resource
from kyanite.definitions.problem import Problem
from kyanite.errors import KyaniteError
from kyanite.runtime.check import check_factory, surroundings
from kyanite.server.management.arm import ArmError

Json = Any

_STORED_ALL_THE_SAME = frozenset({"UnsupportedType", "UnknownType", "TooManyNestedRuns", "WrongLinkedServiceType"})
_CHECKED_KINDS = frozenset({"pipeline", "dataset", "linkedService", "trigger"})
_NAME = re.compile(r"[A-Za-z0-9_][^<>*#.%&:\\+?/\x00-\x1f\x7f]{0,259}\Z")
_FACTORY_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*\Z")
_SHOWN = 20


def check_name(name: str, what: str) -> None:
    """ArmError unless a resource may have this name."""
    if not _NAME.match(name) or not name.isprintable() or name != name.strip():
        raise ArmError(
            f"The {what} name {name[:80]!r} is not valid: begin with a letter, a digit or _, leave out "
            r"< > * # . % & : \ + ? / and control characters, at most 260 characters.",
            code="BadRequest",
            status=400,
        )


def check_factory_name(name: str) -> None:
    """ArmError unless a factory may have this name."""
    if not 3 <= len(name) <= 63 or not name.isascii() or not _FACTORY_NAME.match(name):
        raise ArmError(
            f"The factory name {name[:80]!r} is not valid: 3 to 63 letters, digits and single dashes.",
            code="InvalidFactoryName",
            status=400,
        )


def refuse_invalid(factory: Factory, resource: Resource, target: str) -> list[str]:
    """ArmError for what is wrong in one resource of a factory; the warnings, as texts, when it is fine."""
    if resource.kind not in _CHECKED_KINDS:
        return []
    missing = [name for _, name in broken_references(factory, resource)]
    if missing:
        raise ArmError(
            f"The document creation or update failed because of invalid reference '{missing[0]}'.",
            code="BadRequest",
            status=400,
            target=target,
            details=[_detail(f"There is no '{name}'.", target) for name in missing[1:_SHOWN]],
        )
    around = replace(surroundings(factory, resource), problems=())
    own = [problem for problem in check_factory(around) if problem.file == resource.place]
    errors = [each for each in own if each.severity == "error" and each.code not in _STORED_ALL_THE_SAME]
    if errors:
        raise ArmError(
            f"The document creation or update failed: {_text(errors[0])}",
            code="BadRequest",
            status=400,
            target=target,
            details=[_detail(_text(each), f"{target}/{each.path}") for each in errors[:_SHOWN]],
        )
    return [_text(each) for each in own if each.code in _STORED_ALL_THE_SAME]


def broken_references(factory: Factory, resource: Resource) -> Iterator[tuple[str, str]]:
    """(reference type, name) of what a resource refers to and the factory does not have."""
    known = {(each.kind, each.name.casefold()) for each in factory.resources}
    for kind, name in references_of(resource):
        if (kind, name.casefold()) not in known:
            yield kind, name


def references_of(resource: Resource) -> Iterator[tuple[str, str]]:
    """(kind, name) of every literal reference in a resource."""
    for _, _, raw in find_references(resource):
        if isinstance(raw, dict):
            kind, name = _KINDS.get(str(raw.get("type", ""))), raw.get("referenceName")
            if kind is not None and isinstance(name, str) and not name.startswith("@"):
                yield kind, name


_KINDS = {
    "CredentialReference": "credential",
    "DatasetReference": "dataset",
    "LinkedServiceReference": "linkedService",
    "PipelineReference": "pipeline",
    "TriggerReference": "trigger",
}


def referring(factory: Factory, resource: Resource) -> list[str]:
    """`kind name` of the other resources that refer to one."""
    wanted = (resource.kind, resource.name.casefold())
    return [
        f"{other.kind} '{other.name}'"
        for other in factory.resources
        if other is not resource and wanted in {(kind, name.casefold()) for kind, name in _safe_references(other)}
    ]


def _safe_references(resource: Resource) -> list[tuple[str, str]]:
    try:
        return list(references_of(resource))
    except KyaniteError:
        return []  # a broken document refers to nothing


def _text(problem: Problem) -> str:
    place = f"{problem.path}: " if problem.path else ""
    return f"{place}{problem.message} {problem.cure}".strip()


def _detail(message: str, target: str) -> dict[str, Json]:
    return {"code": "BadRequest", "message": message, "target": target, "details": None}
