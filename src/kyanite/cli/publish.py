"""`kyanite publish`: a working copy becomes what the workspace runs."""

from __future__ import annotations

from pathlib import Path

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.diff import difference_json, show_differences
from kyanite.cli.problems import problem_json, show_problems
from kyanite.cli.session import Session, pass_session, visible


@command(
    "publish",
    short_help="Make a working copy what the workspace runs.",
    examples=[
        ("the git folder you stand in", "kyanite publish"),
        ("under another name", "kyanite publish ./factory --factory-name airline-test"),
    ],
)
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
@click.option("--factory-name", metavar="NAME", help="The factory; else the name in factory/*.json.")
@json_option
@pass_session
def publish(session: Session, folder: Path, factory_name: str | None) -> None:
    """Put DIR (a git folder; the current one by default) in the place of the published factory, as a whole.

    Triggers that were started are started again with their new definition, those that are gone are stopped. Runs in
    progress go on with the definitions they began with.
    """
    from kyanite.runtime.check import check_factory
    from kyanite.runtime.clock import utc_now
    from kyanite.runtime.publish import publish as publish_copy
    from kyanite.runtime.publish import working_copy

    workspace = session.workspace(create=True)
    copy = working_copy(workspace, folder, factory_name)
    done = publish_copy(workspace, copy, now=utc_now())
    problems = check_factory(workspace.factory(done.factory)) if done.differences else []
    if session.as_json:
        session.print_json(
            {
                "factory": done.factory,
                "differences": [difference_json(each) for each in done.differences],
                "restarted": list(done.restarted),
                "stopped": list(done.stopped),
                "problems": list(done.problems),
                "warnings": [problem_json(each) for each in problems],
            }
        )
        return
    show_problems(session, problems, err=True)
    show_differences(session, done.differences, lines=False)
    for label, names in (("started again", done.restarted), ("stopped", done.stopped)):
        for name in names:
            session.echo(f"trigger  {visible(name)}  {label}")
    for text in done.problems:
        session.echo(visible(text), err=True)
    what = "published" if done.differences else "is published already"
    session.echo(f"factory  {visible(done.factory)}  {what}")
