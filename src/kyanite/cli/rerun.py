"""`kyanite runs rerun`: run a run again, as much of it as is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.parameters import gather, parameter_option, parameters_option
from kyanite.cli.run import carry_out, declared_types
from kyanite.cli.run_names import full_run_id
from kyanite.cli.session import Session, pass_session

ALL_LOOPS = "*"


@command(
    "rerun",
    short_help="Run a run again: whole, from what failed, or failed iterations.",
    examples=[
        ("only what failed and what comes after it", "kyanite runs rerun latest --from-failure"),
        ("from one activity on", "kyanite runs rerun 3f2a --from Split"),
        ("only the failed items of a loop", "kyanite runs rerun latest --failed-iterations EachTable"),
        ("whole, with the definitions deployed now", "kyanite runs rerun latest --latest-definitions"),
        ("a new run with one parameter changed", "kyanite runs rerun latest -p day=2026-02-01"),
    ],
)
@click.argument("run")
@click.option("--from-failure", is_flag=True, help="Reuse what succeeded; execute what failed and all after it.")
@click.option("--from", "from_activity", metavar="ACTIVITY", help="Execute this top-level activity and all after it.")
@click.option(
    "--failed-iterations",
    "loop",
    metavar="[LOOP]",
    is_flag=False,
    flag_value=ALL_LOOPS,
    help="Execute the failed iterations of this ForEach (of all when none is named) and all after it.",
)
@click.option("--latest-definitions", is_flag=True, help="Take the deployed definitions, not those of the run.")
@parameter_option
@parameters_option
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
@json_option
@pass_session
def rerun_command(
    session: Session,
    run: str,
    from_failure: bool,
    from_activity: str | None,
    loop: str | None,
    latest_definitions: bool,
    assignments: tuple[str, ...],
    parameters_file: Path | None,
    quiet: bool,
) -> int:
    """Run RUN again until it ends; the exit code is 0 only when it Succeeded.

    What is not executed again is reused from RUN, and the new run joins its group. With new parameters it is a run of
    its own. Conditions, loop items and variables are evaluated again in any case.
    """
    from kyanite.runtime.rerun import RerunMode, rerun

    if sum((from_failure, from_activity is not None, loop is not None)) > 1:
        raise click.UsageError("Give one of --from-failure, --from and --failed-iterations.")
    mode = RerunMode.WHOLE
    if from_failure:
        mode = RerunMode.FROM_FAILURE
    elif from_activity is not None:
        mode = RerunMode.FROM_ACTIVITY
    elif loop is not None:
        mode = RerunMode.FAILED_ITERATIONS
    run_id = full_run_id(session.workspace(), run)
    new_id = rerun(
        session.workspace(),
        run_id,
        mode=mode,
        parameters=_parameters(session, run_id, assignments, parameters_file),
        from_activity=from_activity,
        iterations=None if loop == ALL_LOOPS else loop,
        latest_definitions=latest_definitions,
    )
    if not session.as_json:
        session.echo(f"run {new_id} again after {run_id}")
    return carry_out(session, new_id, quiet=quiet)


def _parameters(session: Session, run_id: str, assignments: tuple[str, ...], file: Path | None) -> dict[str, Any]:
    """New values as the pipeline of the run declares them; reading the run is left out when there are none."""
    if not assignments and file is None:
        return {}
    from kyanite.runtime.past import past_run

    _, record = past_run(session.workspace().store, run_id, masked=True)
    return gather(assignments, file, declared_types(record.pipeline))
