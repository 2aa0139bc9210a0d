"""`kyanite trigger`: what starts pipelines by itself, and what it has started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.command import group, json_option
from kyanite.cli.factories import chosen_factory, factory_option
from kyanite.cli.output import print_table, status
from kyanite.cli.report import moment
from kyanite.cli.session import Session, pass_session, visible

if TYPE_CHECKING:
    from kyanite.definitions.model import Factory

STATUSES = ("Waiting", "Inprogress", "Succeeded", "Failed", "Canceled")

deployed_option = click.option("--factory", metavar="NAME", help="A deployed factory; needed when there are several.")


@group(
    "trigger",
    short_help="List, start, stop and preview triggers; look at their runs.",
    examples=[
        ("what there is", "kyanite trigger list"),
        ("start one; it fires while `kyanite serve` runs", "kyanite trigger start daily"),
        ("when it will fire", "kyanite trigger preview daily --next 20"),
    ],
)
def trigger() -> None:
    """List, start, stop and preview triggers; look at their runs.

    A deployed trigger is Stopped, whatever its definition says. Started triggers fire while `kyanite serve` runs.
    """


def deployed(session: Session, name: str | None) -> Factory:
    """The deployed factory that is meant: triggers have a state only there."""
    return session.workspace().factory(name)


@trigger.command(
    "list",
    short_help="List the triggers of a factory.",
    examples=[("all triggers", "kyanite trigger list"), ("for a script", "kyanite trigger list --json")],
)
@deployed_option
@json_option
@pass_session
def list_command(session: Session, factory: str | None) -> None:
    """List the triggers of a factory with their state and next fire."""
    from kyanite.runtime.triggers import list_triggers

    found = list_triggers(session.workspace(), deployed(session, factory))
    if session.as_json:
        session.print_json(found)
        return
    if not found:
        session.echo("no triggers")
        return
    rows = [
        [
            visible(item["name"]),
            visible(item["type"]),
            item["runtimeState"],
            visible(", ".join(item["pipelines"])),
            moment(item["nextFire"]),
            visible(item["note"]),
        ]
        for item in found
    ]
    print_table(session, ["trigger", "type", "state", "pipelines", "next (UTC)", "note"], rows)


@trigger.command(
    "show",
    short_help="Show a trigger with its next fires and last runs.",
    examples=[
        ("one trigger", "kyanite trigger show daily"),
        ("its definition with its state", "kyanite trigger show daily --json"),
    ],
)
@click.argument("name")
@deployed_option
@json_option
@pass_session
def show(session: Session, name: str, factory: str | None) -> None:
    """Show a trigger: its state, its next fires, its last runs."""
    from kyanite.errors import UnsupportedError
    from kyanite.runtime.triggers import list_triggers, preview, trigger_document
    from kyanite.runtime.triggers_runs import trigger_runs
    from kyanite.runtime.triggers_store import TriggerRunQuery

    workspace, definitions = session.workspace(), deployed(session, factory)
    found = definitions.triggers[name]
    if session.as_json:
        session.print_json(trigger_document(workspace, definitions, name))
        return
    listed = next(item for item in list_triggers(workspace, definitions) if item["name"] == found.name)
    note = f" ({listed['note']})" if listed["note"] else ""
    for title, text in (
        ("trigger", listed["name"]),
        ("type", listed["type"]),
        ("state", listed["runtimeState"] + note),
        ("pipelines", ", ".join(listed["pipelines"])),
    ):
        session.echo(f"{title:<10}{visible(text)}")
    try:
        fires = list(preview(found, 3))
    except UnsupportedError:
        fires = []
    if fires:
        session.echo("\nnext fires")
        _show_fires(session, fires)
    runs = trigger_runs(workspace, TriggerRunQuery(factory=definitions.name, trigger=found.name, limit=5))
    if runs:
        session.echo("\nlast runs")
        _show_runs(session, runs)


def _start_or_stop(session: Session, names: tuple[str, ...], everything: bool, factory: str | None, state: str) -> None:
    from kyanite.runtime.triggers import start_trigger, stop_trigger

    if bool(names) == everything:
        raise click.UsageError("Give the NAME of one or more triggers, or --all.")
    workspace, definitions = session.workspace(), deployed(session, factory)
    change = start_trigger if state == "Started" else stop_trigger
    done = []
    for name in names or tuple(definitions.triggers):
        done.append({"name": change(workspace, definitions, name), "runtimeState": state})
        if not session.as_json:
            session.echo(f"trigger {visible(done[-1]['name'])} {state}")
    if session.as_json:
        session.print_json(done)


@trigger.command(
    "start",
    short_help="Start triggers.",
    examples=[("one", "kyanite trigger start daily"), ("all of a factory", "kyanite trigger start --all")],
)
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="All triggers of the factory.")
@deployed_option
@json_option
@pass_session
def start(session: Session, names: tuple[str, ...], everything: bool, factory: str | None) -> None:
    """Start triggers after checking that they can work. A schedule fires from now on, never for the past.

    A tumbling window trigger begins with its oldest window that has not run.
    """
    _start_or_stop(session, names, everything, factory, "Started")


@trigger.command(
    "stop",
    short_help="Stop triggers.",
    examples=[("one", "kyanite trigger stop daily"), ("all of a factory", "kyanite trigger stop --all")],
)
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="All triggers of the factory.")
@deployed_option
@json_option
@pass_session
def stop(session: Session, names: tuple[str, ...], everything: bool, factory: str | None) -> None:
    """Stop triggers. Runs in progress go on; windows keep their state."""
    _start_or_stop(session, names, everything, factory, "Stopped")


@trigger.command(
    "runs",
    short_help="List what triggers have done, newest first.",
    examples=[
        ("the last 20", "kyanite trigger runs"),
        ("windows that failed", "kyanite trigger runs hourly --status Failed --limit 5"),
    ],
)
@click.argument("name", required=False)
@click.option("--status", "wanted", type=click.Choice(STATUSES, case_sensitive=False), help="Only runs in this status.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="At most so many.")
@deployed_option
@json_option
@pass_session
def runs(session: Session, name: str | None, wanted: str | None, limit: int, factory: str | None) -> None:
    """List trigger runs: one for each time a trigger fired, one for each window."""
    from kyanite.runtime.triggers_runs import trigger_runs
    from kyanite.runtime.triggers_store import TriggerRunQuery

    query = TriggerRunQuery(factory=factory, trigger=name, status=wanted, limit=limit)
    found = trigger_runs(session.workspace(), query)
    if session.as_json:
        session.print_json(found)
    elif not found:
        session.echo("no trigger runs")
    else:
        _show_runs(session, found)


@trigger.command(
    "rerun",
    short_help="Run a window again.",
    examples=[
        ("by its start", "kyanite trigger rerun hourly@2024-01-31T06:00:00Z"),
        ("by the beginning of its id", "kyanite trigger rerun 3f2a"),
    ],
)
@click.argument("run")
@deployed_option
@json_option
@pass_session
def rerun(session: Session, run: str, factory: str | None) -> None:
    """Run a window that is over again, with the definition of now.

    RUN is an id, the beginning of one, or NAME@WINDOWSTART.
    """
    from kyanite.runtime.triggers import runtime_state
    from kyanite.runtime.triggers_runs import find_trigger_run, rerun_trigger_run, wire_run

    workspace, definitions = session.workspace(), deployed(session, factory)
    changed = rerun_trigger_run(workspace, find_trigger_run(workspace, definitions.name, run))
    if session.as_json:
        session.print_json(wire_run(changed))
        return
    session.echo(f"trigger run {changed.trigger_run_id} {status(changed.status)}")
    known = definitions.triggers.get(changed.name, None)
    if known is None or runtime_state(workspace, definitions, known)[0] != "Started":
        session.echo(
            f"  it begins when the trigger is started: kyanite trigger start {visible(changed.name)}", err=True
        )


@trigger.command(
    "cancel",
    short_help="Cancel a trigger run.",
    examples=[
        ("a window, by its start", "kyanite trigger cancel hourly@2024-01-31T06:00:00Z"),
        ("by the beginning of its id", "kyanite trigger cancel 3f2a"),
    ],
)
@click.argument("run")
@deployed_option
@json_option
@pass_session
def cancel(session: Session, run: str, factory: str | None) -> None:
    """Cancel a waiting window or the pipeline runs of a trigger run.

    RUN is an id, the beginning of one, or NAME@WINDOWSTART.
    """
    from kyanite.runtime.triggers_runs import cancel_trigger_run, find_trigger_run, wire_run

    workspace = session.workspace()
    changed = cancel_trigger_run(workspace, find_trigger_run(workspace, deployed(session, factory).name, run))
    if session.as_json:
        session.print_json(wire_run(changed))
    elif changed.status == "Canceled":
        session.echo(f"trigger run {changed.trigger_run_id} {status('Canceled')}")
    else:
        session.echo(f"trigger run {changed.trigger_run_id}: its pipeline runs are asked to stop")


@trigger.command(
    "preview",
    short_help="Show when a trigger will fire.",
    examples=[
        ("the next 20 times, in its own time zone and in UTC", "kyanite trigger preview daily --next 20"),
        ("around a change of the clocks", "kyanite trigger preview daily --after 2024-03-30T00:00:00Z --next 3"),
    ],
)
@click.argument("name")
@click.option("--next", "count", type=click.IntRange(1, 10_000), default=10, show_default=True, help="So many fires.")
@click.option("--after", metavar="TIME", help="From this time on (ISO 8601, UTC); now when it is left out.")
@factory_option
@json_option
@pass_session
def preview_command(session: Session, name: str, count: int, after: str | None, factory: str | None) -> None:
    """Show when a trigger will fire, in local and in UTC time; works without starting it."""
    from kyanite.engine.triggers.values import utc_moment
    from kyanite.runtime.triggers import preview

    found = chosen_factory(session, factory).triggers[name]
    fires = list(preview(found, count, after=utc_moment(after, "--after") if after else None))
    if session.as_json:
        session.print_json(fires)
    elif not fires:
        session.echo("it fires no more")
    else:
        _show_fires(session, fires)


def _show_fires(session: Session, fires: list[dict[str, Any]]) -> None:
    windows = "windowStart" in fires[0]
    zone = visible(fires[0]["timeZone"])
    headers = ["#", f"local ({zone})", "offset", "UTC", "window (UTC)" if windows else ""]
    rows = []
    for number, fire in enumerate(fires, 1):
        local, offset = fire["local"][:19], fire["local"][19:].replace("Z", "+00:00")
        last = f"{moment(fire['windowStart'])} to {moment(fire['windowEnd'])}" if windows else ""
        rows.append([str(number), moment(local), offset, moment(fire["utc"]), last or _change(fire)])
    print_table(session, headers, rows, right=("#",))


def _change(fire: dict[str, Any]) -> str:
    return "clocks changed" if fire["change"] else ""


def _show_runs(session: Session, found: list[dict[str, Any]]) -> None:
    rows = [
        [
            item["triggerRunId"][:8],
            visible(item["triggerName"]),
            status(item["status"]),
            moment(item["triggerRunTimestamp"]),
            f"{moment(item['windowStart'])} to {moment(item['windowEnd'])}" if "windowStart" in item else "",
            "\n".join(item["triggeredPipelines"].values()),
            visible(item["message"].partition("\n")[0][:90] or _waits_for(item)),
        ]
        for item in found
    ]
    print_table(session, ["run", "trigger", "status", "at (UTC)", "window (UTC)", "pipeline runs", "message"], rows)


def _waits_for(item: dict[str, Any]) -> str:
    return f"waits for {', '.join(item['dependencyStatus'])}" if item["dependencyStatus"] else ""
