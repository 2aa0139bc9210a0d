"""`kyanite runs explain`: why each activity ran or not, and which one decided how the run ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.output import status
from kyanite.cli.run_names import full_run_id
from kyanite.cli.session import Session, pass_session, visible
from kyanite.errors import NotFoundError

if TYPE_CHECKING:
    from kyanite.engine.explain import Explained, Explanation
    from kyanite.engine.record import RunRecord


@command(
    "explain",
    short_help="Say why each activity ran or not, and why the run ended so.",
    examples=[
        ("the newest run", "kyanite runs explain latest"),
        ("one activity, in all iterations", "kyanite runs explain 3f2a --activity Copy"),
        ("for a program", "kyanite runs explain latest --json"),
    ],
)
@click.argument("run")
@click.option("--activity", metavar="NAME", help="Only this activity; a name, or a path such as Loop/3/Inner.")
@click.option("--all", "everything", is_flag=True, help="Also what is inside iterations that succeeded.")
@json_option
@pass_session
def explain_command(session: Session, run: str, activity: str | None, everything: bool) -> None:
    """Say in words why each activity of RUN ran, was skipped, retried, stopped or reused, and which one decided."""
    from kyanite.engine.explain import explain, explanation_document
    from kyanite.runtime.past import past_run

    workspace = session.workspace()
    run_id = full_run_id(workspace, run)
    _, record = past_run(workspace.store, run_id, masked=False)  # real values: every text leaves masked
    explanation = explain(record)
    if session.as_json:
        session.print_json(explanation_document(explanation))
        return
    told = [item for item in explanation.activities if activity is None or _is(item, activity)]
    if activity is not None and not told:
        raise NotFoundError(f"Nothing is known of '{activity}' in run {run_id}.")
    shown = told if everything or activity is not None else [item for item in told if not _settled(record, item.path)]
    _show_head(session, explanation)
    for item in shown:
        _show(session, item)
    if len(shown) < len(told):
        session.echo(f"\n{len(told) - len(shown):,} more inside iterations that succeeded (--all shows them)")


def _show_head(session: Session, explanation: Explanation) -> None:
    session.echo(f"run {explanation.run_id} of {visible(explanation.pipeline)}: {status(explanation.status)}")
    if explanation.rerun is not None:
        session.echo(f"a rerun ({explanation.rerun['mode']}) of run {explanation.rerun['fromRun']}")
    for sentence in explanation.ending:
        session.echo(f"  {_indented(sentence)}")


def _show(session: Session, item: Explained) -> None:
    session.echo(f"\n{visible(item.path)} ({item.type}) {status(item.status)}")
    for sentence in (item.why, *item.how):
        session.echo(f"  {_indented(sentence)}")


def _indented(text: str) -> str:
    return visible(text).replace("\n", "\n    ")


def _is(item: Explained, wanted: str) -> bool:
    return wanted.casefold() in (item.path.casefold(), item.path.rpartition("/")[2].casefold())


def _settled(record: RunRecord, path: str) -> bool:
    """Whether a place is inside an iteration that succeeded."""
    scope = path.rpartition("/")[0]
    while scope:
        if scope.rpartition("/")[2].isdecimal() and record.scopes[scope].succeeded:
            return True
        scope = record.activities[scope.rpartition("/")[0]].scope
    return False
