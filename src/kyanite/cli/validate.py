"""`kyanite validate`: everything that is wrong in a factory, in one pass, nothing executed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.factories import is_git_folder
from kyanite.cli.parameters import parameter_option, parameters_option
from kyanite.cli.problems import in_order, problem_json, show_problems, summary
from kyanite.cli.session import Session, pass_session
from kyanite.errors import NotFoundError

if TYPE_CHECKING:
    from kyanite.definitions.problem import Problem


@command(
    "validate",
    short_help="Find what would fail at run time, without running anything.",
    examples=[
        ("the git folder one stands in", "kyanite validate"),
        ("a git folder; warnings count as well", "kyanite validate ./factory --strict"),
        ("the factories in an ARM template", "kyanite validate template.json -p uniqueSuffix=dev"),
        ("a deployed factory, for a script", "kyanite validate --factory airline --json"),
    ],
)
@click.argument("source", metavar="[DIR|TEMPLATE]", required=False, type=click.Path(path_type=Path))
@click.option("--factory", metavar="NAME", help="A deployed factory.")
@parameter_option
@parameters_option
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@json_option
@pass_session
def validate(
    session: Session,
    source: Path | None,
    factory: str | None,
    assignments: tuple[str, ...],
    parameters_file: Path | None,
    strict: bool,
) -> int:
    """Check a git folder, an ARM template or a deployed factory and list all problems with place and cure.

    The exit code is 1 when there are errors.
    """
    from kyanite.cli.sources import problems_of_deployed, problems_of_folder, problems_of_template

    if source is not None and factory is not None:
        raise click.UsageError("Give a folder or template, or --factory, not both.")
    if factory is not None or (source is None and not is_git_folder(Path())):
        problems = problems_of_deployed(session, factory)
    elif source is None or source.is_dir():
        problems = problems_of_folder(source or Path())
    elif source.exists():
        problems = problems_of_template(source, assignments, parameters_file)
    else:
        raise NotFoundError("There is no such file or folder.", where=str(source))
    _show(session, problems)
    return 1 if any(problem.severity == "error" or strict for problem in problems) else 0


def _show(session: Session, problems: list[Problem]) -> None:
    if session.as_json:
        session.print_json([problem_json(problem) for problem in in_order(problems)])
        return
    show_problems(session, problems)
    session.echo(("\n" if problems else "") + summary(problems))
