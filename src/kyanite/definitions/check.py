"""Everything that would fail at run time, found in one pass; expressions are not evaluated, nothing is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kyanite.definitions.check_activities import check_activities
from kyanite.definitions.check_calls import check_calls
from kyanite.definitions.check_dependencies import check_dependencies
from kyanite.definitions.check_documents import check_documents
from kyanite.definitions.check_expressions import check_expressions
from kyanite.definitions.check_kinds import Supported, check_kinds
from kyanite.definitions.check_limits import check_limits
from kyanite.definitions.check_references import check_references
from kyanite.definitions.check_secrets import check_secrets
from kyanite.definitions.check_variables import check_variables
from kyanite.definitions.model import Factory
from kyanite.definitions.problem import Problem

__all__ = ["Problem", "Supported", "check"]

_CONCERNS: tuple[Callable[[Factory], Iterator[Problem]], ...] = (
    check_documents,
    check_references,
    check_dependencies,
    check_activities,
    check_calls,
    check_variables,
    check_expressions,
    check_limits,
    check_secrets,
)


def check(factory: Factory, *, supported: Supported) -> list[Problem]:
    """Every problem of a factory: those met while reading it, then per file in the order of its text.

    `supported` says which types can be run. Never raises for what is in the documents.
    """
    found = list(check_kinds(factory, supported))
    for concern in _CONCERNS:
        found += concern(factory)
    files = {resource.place: position for position, resource in enumerate(factory.resources)}
    found.sort(key=lambda problem: (files.get(problem.file, -1), problem.path, problem.code))
    return list(dict.fromkeys([*factory.problems, *found]))
