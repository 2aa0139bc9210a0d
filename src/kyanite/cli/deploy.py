"""`kyanite deploy`: an ARM template or a git folder becomes accounts, pools and factories of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.documents import read_object
from kyanite.cli.output import print_table
from kyanite.cli.parameters import gather, parameter_option, parameters_option
from kyanite.cli.problems import problem_json, show_problems
from kyanite.cli.session import Session, pass_session, visible
from kyanite.cli.sources import load_git_folder
from kyanite.errors import NotFoundError

if TYPE_CHECKING:
    from kyanite.runtime.deploy import Deployment


_CHANGE_COLORS = {"Create": "green", "Modify": "yellow", "NoChange": "bright_black", "Ignore": "bright_black"}
_LINE_COLORS = {"+": "green", "-": "red", "@": "cyan"}


@command(
    "deploy",
    short_help="Deploy an ARM template or a git folder into the workspace.",
    examples=[
        ("a template whose parameters have defaults", "kyanite deploy template.json"),
        (
            "with a parameters file and one value",
            "kyanite deploy template.json --parameters dev.json -p uniqueSuffix=7",
        ),
        ("what would change", "kyanite deploy template.json --what-if"),
        ("a git folder as the factory `airline`", "kyanite deploy ./factory --factory-name airline"),
    ],
)
@click.argument("source", metavar="TEMPLATE|DIR", type=click.Path(path_type=Path))
@parameter_option
@parameters_option
@click.option("--factory-name", metavar="NAME", help="The name of the factory of a git folder.")
@click.option("--what-if", "only_tell", is_flag=True, help="Say what would change; change nothing.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@json_option
@pass_session
def deploy(
    session: Session,
    source: Path,
    assignments: tuple[str, ...],
    parameters_file: Path | None,
    factory_name: str | None,
    only_tell: bool,
    quiet: bool,
) -> None:
    """Deploy TEMPLATE (an ARM template) or DIR (a git folder of a factory). Doing it again changes what has changed.

    Storage accounts become folders, pools get their environment and run their start task, factories are checked.
    """
    if not source.exists():
        raise NotFoundError("There is no such file or folder.", where=str(source))
    if source.is_dir():
        if assignments or parameters_file:
            raise click.UsageError("A git folder has no template parameters.")
        if only_tell:
            raise click.UsageError("--what-if is for templates; `kyanite diff DIR` compares a git folder.")
        deploy_folder(session, source, factory_name)
    else:
        if factory_name is not None:
            raise click.UsageError("--factory-name is for git folders; a template names its factories.")
        if only_tell:
            show_what_if(session, source, assignments, parameters_file)
            return
        deploy_template(session, source, assignments, parameters_file, quiet=quiet)


def deploy_template(
    session: Session,
    template: Path,
    assignments: tuple[str, ...] = (),
    parameters_file: Path | None = None,
    *,
    quiet: bool = False,
    embedded: bool = False,
) -> Deployment:
    """Deploy a template with a line per step and show what there is now; `embedded` shows the steps only."""
    from kyanite.runtime.deploy import deploy as deploy_resources

    document = read_object(template, comments=True)
    parameters = gather(assignments, parameters_file, template_types(document))

    def progress(text: str) -> None:
        if not quiet:
            session.echo(visible(text), err=session.as_json)

    deployment = deploy_resources(session.workspace(create=True), document, parameters, progress=progress)
    if embedded:
        show_problems(session, deployment.warnings, err=True)
    elif session.as_json:
        session.print_json(deployment_json(deployment))
    else:
        _show(session, deployment)
    return deployment


def show_what_if(session: Session, template: Path, assignments: tuple[str, ...], parameters_file: Path | None) -> None:
    """Show what deploying a template would change: a line for each resource, then the differences."""
    from kyanite.runtime.what_if import NO_CHANGE, what_if

    document = read_object(template, comments=True)
    parameters = gather(assignments, parameters_file, template_types(document))
    changes = what_if(session.workspace(create=True), document, parameters)
    if session.as_json:
        rows = [
            {"type": one.type, "name": one.name, "changeType": one.change, "diff": list(one.lines)} for one in changes
        ]
        session.print_json(rows)
        return
    cells = [
        [click.style(one.change, fg=_CHANGE_COLORS.get(one.change)), visible(one.type), visible(one.name)]
        for one in changes
    ]
    print_table(session, ["change", "resource", "name"], cells)
    for one in changes:
        for line in one.lines:
            session.echo(click.style(visible(line), fg=_LINE_COLORS.get(line[:1])))
    different = sum(one.change != NO_CHANGE for one in changes)
    session.echo(f"\n{different} of {len(changes)} resources would change; nothing was changed")


def template_types(template: dict[str, Any]) -> dict[str, str]:
    """Parameter name -> type as an ARM template declares them."""
    declared = template.get("parameters")
    entries = declared.items() if isinstance(declared, dict) else ()
    return {name: str(entry.get("type", "string")) for name, entry in entries if isinstance(entry, dict)}


def deployment_json(deployment: Deployment) -> dict[str, Any]:
    """A deployment for a program."""
    return {
        "resources": list(deployment.resources),
        "factories": list(deployment.factories),
        "warnings": [problem_json(problem) for problem in deployment.warnings],
    }


def _show(session: Session, deployment: Deployment) -> None:
    show_problems(session, deployment.warnings, err=True)
    rows = [[visible(str(item["type"])), visible(str(item["name"]))] for item in deployment.resources]
    session.echo()
    print_table(session, ["resource", "name"], rows)
    _show_next(session, list(deployment.factories))


def deploy_folder(session: Session, folder: Path, name: str | None) -> None:
    """Save a git folder as a factory of the workspace; only files that cannot be read refuse it."""
    from kyanite.cli.sources import all_problems
    from kyanite.definitions.problem import raise_errors
    from kyanite.runtime.secret_values import factory_secrets

    factory = load_git_folder(folder, name or None)
    raise_errors(factory.problems)
    workspace = session.workspace(create=True)
    workspace.vault.register(factory_secrets(factory))
    workspace.save_factory(factory)
    problems = all_problems(factory)
    if session.as_json:
        session.print_json({"factory": factory.name, "warnings": [problem_json(problem) for problem in problems]})
        return
    show_problems(session, problems, err=True)
    errors = sum(problem.severity == "error" for problem in problems)
    note = (
        f" with {errors} error{'' if errors == 1 else 's'}: what they touch is refused when it runs" if errors else ""
    )
    session.echo(f"factory  {visible(factory.name)}  deployed{note}")
    _show_next(session, [factory.name])


def _show_next(session: Session, factories: list[str]) -> None:
    pipelines = [(name, pipeline) for name in factories for pipeline in session.workspace().factory(name).pipelines]
    if not pipelines:
        return
    several = len(session.workspace().factories()) > 1
    session.echo("\nnext:")
    for name, pipeline in pipelines[:5]:
        session.echo(f"  kyanite run {visible(pipeline)}" + (f" --factory {visible(name)}" if several else ""))
    session.echo("  kyanite runs show latest")
