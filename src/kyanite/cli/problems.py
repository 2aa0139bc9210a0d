"""Problems of a factory on the screen: each with its place, what is wrong and the cure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kyanite.cli.output import status
from kyanite.cli.session import Session, visible

if TYPE_CHECKING:
    from kyanite.definitions.problem import Problem


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem for a program."""
    return {
        "severity": problem.severity,
        "code": problem.code,
        "file": problem.file,
        "path": problem.path,
        "message": problem.message,
        "cure": problem.cure,
    }


def in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Errors first, then by place."""
    return sorted(problems, key=lambda problem: (problem.severity != "error", problem.file, problem.path))


def show_problems(session: Session, problems: Sequence[Problem], *, err: bool = False) -> None:
    """One block per problem: severity and place, what, cure."""
    for problem in in_order(problems):
        session.echo(f"{status(problem.severity)}: {visible(problem.where)}", err=err)
        session.echo(f"  {visible(problem.message)} [{problem.code}]", err=err)
        if problem.cure:
            session.echo(f"  -> {visible(problem.cure)}", err=err)


def summary(problems: Sequence[Problem]) -> str:
    """`2 errors, 1 warning`."""
    errors = sum(problem.severity == "error" for problem in problems)
    return f"{_counted(errors, 'error')}, {_counted(len(problems) - errors, 'warning')}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
