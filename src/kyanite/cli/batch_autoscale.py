"""`kyanite batch pool autoscale`: formulas that size a pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kyanite.cli.batch_pool import pool_document
from kyanite.cli.batch_target import Json, Target, body, cell, duration, on_account, show_list, time_cell, told
from kyanite.cli.command import group
from kyanite.cli.session import Session, visible

_PER_ROW = 6


@group(
    "autoscale",
    short_help="Enable, disable, evaluate autoscale; look at its runs.",
    examples=[
        (
            "try a formula on what the pool does now",
            "kyanite batch pool autoscale evaluate mypool '$TargetDedicatedNodes=$PendingTasks'",
        ),
        ("use it", "kyanite batch pool autoscale enable mypool '$TargetDedicatedNodes=$PendingTasks'"),
        ("what it did", "kyanite batch pool autoscale runs mypool"),
    ],
)
def autoscale() -> None:
    """Enable, disable, evaluate autoscale; look at its runs.

    FORMULA is the text itself, or @FILE.
    """


def _formula(text: str | None) -> str | None:
    if text is None or not text.startswith("@"):
        return text
    from kyanite.cli.documents import read_text

    return read_text(Path(text[1:]))


def _pointing(session: Session, work: Callable[[], Any]) -> Any:
    """Do the work; a mistake in the formula is shown in its line before the error goes on."""
    from kyanite.batch.autoscale import FormulaError
    from kyanite.cli.main import caret

    try:
        return work()
    except FormulaError as error:
        if not session.as_json:
            session.echo(caret(error.text, error.position), err=True)
        raise


@autoscale.command(
    "evaluate",
    short_help="Say what a formula gives on the pool as it is; nothing is changed.",
    examples=[
        ("a formula", "kyanite batch pool autoscale evaluate mypool '$TargetDedicatedNodes=min(4,$PendingTasks)'"),
        ("one in a file", "kyanite batch pool autoscale evaluate mypool @formula.txt --json"),
        ("the pool's own", "kyanite batch pool autoscale evaluate mypool"),
    ],
)
@click.argument("pool_id", metavar="POOL")
@click.argument("formula", required=False)
@on_account
def evaluate(target: Target, pool_id: str, formula: str | None) -> int:
    """Evaluate FORMULA (by default the pool's own) on the samples there are and the pool as it is now.

    Unlike in the REST API, autoscale need not be enabled. Exit code 1: the evaluation failed.
    """
    from kyanite.batch import autoscale_turn

    found = target.service.pool(target.account, pool_id)
    text = _formula(formula) or found.spec.formula
    if not text:
        raise click.UsageError(f"Pool {found.id} has no formula; give one.")
    run = _pointing(target.session, lambda: _evaluated(target, pool_id, text, autoscale_turn))
    if target.session.as_json:
        target.session.print_json(run)
    else:
        for item in str(run["results"]).split(";"):
            target.session.echo(visible(item))
        if "error" in run:
            target.session.echo(click.style("error: ", fg="red") + visible(run["error"]["message"]), err=True)
            for item in run["error"]["values"]:
                target.session.echo(f"  {visible(item['value'])}", err=True)
    return 1 if "error" in run else 0


def _evaluated(target: Target, pool_id: str, text: str, turn: Any) -> Json:
    turn.check_formula(text)
    run: Json = target.service.preview_autoscale(target.account, pool_id, text)
    return run


@autoscale.command(
    "enable",
    short_help="Let a formula size the pool.",
    examples=[
        ("", "kyanite batch pool autoscale enable mypool '$TargetDedicatedNodes=min(4,$PendingTasks)'"),
        ("evaluate it every five minutes", "kyanite batch pool autoscale enable mypool --every 300"),
        (
            "follow the tasks closely (the service itself allows 300 at least)",
            "kyanite batch pool autoscale enable mypool --every 5",
        ),
    ],
)
@click.argument("pool_id", metavar="POOL")
@click.argument("formula", required=False)
@click.option("--every", type=float, metavar="SECONDS", help="Between two evaluations.")
@on_account
def enable(target: Target, pool_id: str, formula: str | None, every: float | None) -> None:
    """Enable autoscale, or change its formula or interval; it is evaluated at once."""
    from kyanite import limits
    from kyanite.batch.autoscale_turn import interval_of

    short = every if every is not None and every < limits.AUTOSCALE_LEAST_SECONDS else None
    asked = limits.AUTOSCALE_LEAST_SECONDS if short is not None else every
    document = body(None, autoScaleFormula=_formula(formula), autoScaleEvaluationInterval=duration(asked))
    _pointing(target.session, lambda: target.service.enable_autoscale(target.account, pool_id, document))
    if every is not None:
        _keep_short_interval(target, pool_id, short)
    target.service.pump()
    after = pool_document(target, pool_id)
    seconds = interval_of(target.service.get_pool(target.account, pool_id))
    told(target.session, after, f"pool {after['id']}: autoscale every {seconds:g} s")


def _keep_short_interval(target: Target, pool_id: str, seconds: float | None) -> None:
    """An interval below the service's own least stands in the pool's metadata."""
    from kyanite.batch.autoscale_turn import INTERVAL_ITEM

    found = target.service.get_pool(target.account, pool_id)
    before = [dict(item) for item in found.spec.document.get("metadata") or ()]
    after = [item for item in before if str(item.get("name", "")).casefold() != INTERVAL_ITEM.casefold()]
    if seconds is not None:
        after.append({"name": INTERVAL_ITEM, "value": f"{seconds:g}"})
    if after != before:
        target.service.patch_pool(target.account, pool_id, {"metadata": after})


@autoscale.command(
    "disable", short_help="Keep the pool as it is.", examples=[("", "kyanite batch pool autoscale disable mypool")]
)
@click.argument("pool_id", metavar="POOL")
@on_account
def disable(target: Target, pool_id: str) -> None:
    """Disable autoscale; the pool stays as large as it is."""
    target.service.disable_autoscale(target.account, pool_id)
    document = pool_document(target, pool_id)
    told(target.session, document, f"pool {document['id']}: autoscale is off")


@autoscale.command(
    "runs",
    short_help="What the last evaluations gave.",
    examples=[("the last ten", "kyanite batch pool autoscale runs mypool --limit 10")],
)
@click.argument("pool_id", metavar="POOL")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@on_account
def runs(target: Target, pool_id: str, limit: int) -> None:
    """What the last evaluations of the pool's formula gave, newest first."""
    found = target.service.autoscale_runs(target.account, pool_id, limit)
    columns = [("evaluated (UTC)", time_cell("timestamp")), ("results", _results), ("error", _error)]
    show_list(target.session, found, columns, none="never evaluated")


def _results(run: Json) -> str:
    items = [visible(item) for item in str(run.get("results", "")).split(";")[:_PER_ROW]]
    return "\n".join(items)


def _error(run: Json) -> str:
    error = run.get("error") or {}
    return "\n".join([cell("code")(error), *(visible(item["value"]) for item in error.get("values") or ())]).strip()
