"""`kyanite run`: start a pipeline, show what it does, end with its status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.factories import chosen_factory, factory_option
from kyanite.cli.parameters import gather, parameter_option, parameters_option
from kyanite.cli.problems import show_problems
from kyanite.cli.progress import shown
from kyanite.cli.report import run_document, show_run
from kyanite.cli.session import Session, pass_session, visible

if TYPE_CHECKING:
    from kyanite.definitions.model import Pipeline


@command(
    "run",
    short_help="Run a pipeline and show what it does.",
    examples=[
        ("the only factory of the workspace, or the git folder one stands in", "kyanite run SampleCopyPipeline"),
        (
            "with parameters; arrays, objects and numbers as JSON",
            'kyanite run Load -p day=2026-01-31 -p \'tables=["a", "b"]\' -p retries=3',
        ),
        ("a git folder that is not deployed", "kyanite run Load --factory ./factory --parameters day.json"),
        ("for a script", "kyanite run Load --json --quiet"),
    ],
)
@click.argument("pipeline")
@factory_option
@parameter_option
@parameters_option
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@json_option
@pass_session
def run(
    session: Session,
    pipeline: str,
    factory: str | None,
    assignments: tuple[str, ...],
    parameters_file: Path | None,
    quiet: bool,
) -> int:
    """Run PIPELINE until it ends; the exit code is 0 only when it Succeeded."""
    from kyanite.runtime.secret_values import short_parameters
    from kyanite.runtime.start import start_run

    definitions = chosen_factory(session, factory)
    found = definitions.pipelines[pipeline]
    parameters = gather(assignments, parameters_file, declared_types(found))
    show_problems(session, short_parameters(found, parameters), err=True)
    run_id = start_run(session.workspace(), definitions, found.name, parameters)
    if not session.as_json:
        session.echo(f"run {run_id} of {visible(found.name)} in {visible(definitions.name)}")
    return carry_out(session, run_id, quiet=quiet)


def declared_types(pipeline: Pipeline) -> dict[str, str]:
    """Parameter name -> declared type."""
    return {parameter.name: parameter.type for parameter in pipeline.parameters.values()}


def carry_out(session: Session, run_id: str, *, quiet: bool = False) -> int:
    """Work on a run until it ends and show how it went; 0 when it Succeeded, else 1."""
    from kyanite.runtime.monitor import activity_runs, pipeline_run

    workspace = session.workspace()
    status = work_on(session, run_id, quiet=quiet)
    document, activities = pipeline_run(workspace, run_id), activity_runs(workspace, run_id)
    if session.as_json:
        session.print_json(run_document(document, activities))
    else:
        session.echo()
        show_run(session, document, activities)
    return 0 if status == "Succeeded" else 1


def work_on(session: Session, run_id: str, *, quiet: bool = False) -> str:
    """Work on a run until it ends, shown while it happens; its status."""
    from kyanite.runtime.worker import Worker

    session.running = run_id
    session.answer_running_tasks()
    with shown(session, run_id, quiet=quiet) as on_event:
        status = Worker(session.workspace()).run(run_id, on_event)
    session.running = None
    return status
