"""`kyanite eval`: one expression, evaluated as a pipeline would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.parameters import assigned, guessed, parameter_option
from kyanite.cli.run_names import full_run_id
from kyanite.cli.session import Session, pass_session, visible
from kyanite.definitions.json_text import read_json
from kyanite.errors import ParameterError

if TYPE_CHECKING:
    from kyanite.expressions import Scope, Traced

SHOWN = 100  # characters of a text or a value in a line of the trace


@command(
    "eval",
    short_help="Evaluate an expression.",
    examples=[
        ("a function", """kyanite eval "@concat('part', string(add(1, 2)))\""""),
        ("with parameters", """kyanite eval "@concat(pipeline().parameters.folder, '/x')" -p folder=target"""),
        ("with variables", """kyanite eval "@length(variables('names'))" --variables '{"names": ["a", "b"]}'"""),
        ("text with an expression in it", """kyanite eval "run of @{utcNow('yyyy-MM-dd')}\""""),
        (
            "what an activity of a run saw when it started",
            """kyanite eval "@item().name" --run latest --activity Copy --iteration 3""",
        ),
        ("every call with its value", """kyanite eval "@add(length('abc'), 1)" --trace"""),
    ],
)
@click.argument("expression")
@parameter_option
@click.option("--variables", metavar="JSON", help="A JSON object: variable name -> value.")
@click.option("--run", metavar="RUN", help="Evaluate with the values of this run: an id, its beginning, or `latest`.")
@click.option("--activity", metavar="NAME", help="As this activity saw them when it started; a name or Loop/3/Inner.")
@click.option("--iteration", metavar="N", type=click.IntRange(0), help="Of the loop's iteration N; the first is 0.")
@click.option("--trace/--no-trace", default=None, help="Show what each call gave (default: on a terminal).")
@json_option
@pass_session
def evaluate(
    session: Session,
    expression: str,
    assignments: tuple[str, ...],
    variables: str | None,
    run: str | None,
    activity: str | None,
    iteration: int | None,
    trace: bool | None,
) -> None:
    """Evaluate EXPRESSION and print its value.

    EXPRESSION is written as in a definition: `@...` is an expression, `@{...}` one inside a text, all else is plain
    text. Values of -p are JSON where they are JSON, else text. An error shows the place in the text. With --run,
    parameters, variables, outputs and items are those of the run, at its end unless --activity is given; secrets in
    them read `***`.
    """
    from kyanite.expressions import trace as traced_evaluation
    from kyanite.expressions import trace_document

    if run is None and (activity is not None or iteration is not None):
        raise click.UsageError("--activity and --iteration need --run.")
    if activity is None and iteration is not None:
        raise click.UsageError("--iteration needs --activity.")
    tree, problem = traced_evaluation(expression, _scope(session, assignments, variables, run, activity, iteration))
    shown = session.is_terminal() if trace is None else trace
    if session.as_json:
        if problem is not None:
            raise problem
        wanted = run is not None if trace is None else trace
        more = {"trace": trace_document(tree)} if wanted else {}
        session.print_json({"value": tree.value, "type": type_name(tree.value), **more})
        return
    if shown and tree.children:
        for line in trace_lines(tree):
            session.echo(visible(line))
        session.echo()
    if problem is not None:
        raise problem
    value = tree.value
    session.echo(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
    if not expression.startswith("@") and "@{" not in expression:
        session.echo("note: this is plain text; an expression starts with @", err=True)


def _scope(
    session: Session,
    assignments: tuple[str, ...],
    variables: str | None,
    run: str | None,
    activity: str | None,
    iteration: int | None,
) -> Scope:
    """What the expression sees: of a run when one is named, and over it what was typed."""
    from dataclasses import replace

    from kyanite.expressions import Scope

    given = {name: guessed(text) for name, text in assigned(assignments).items()}
    scope = Scope()
    if run is not None:
        from kyanite.runtime.values import moment_of

        workspace = session.workspace()
        moment = moment_of(workspace, full_run_id(workspace, run), activity, iteration)
        scope = moment.scope
        if not session.as_json and session.is_terminal():
            session.echo(f"at {moment.at}, before {moment.path or 'nothing more'}")
    return replace(
        scope, parameters={**scope.parameters, **given}, variables={**scope.variables, **_variables(variables)}
    )


def trace_lines(tree: Traced, first: str = "", rest: str = "") -> Iterator[str]:
    """The tree of a traced evaluation, one part a line: `add(1, 2) = 3`."""
    yield f"{first}{_short(tree.text)} {_outcome(tree)}"
    for child in tree.children:
        last = child is tree.children[-1]
        yield from trace_lines(child, f"{rest}{'└─ ' if last else '├─ '}", f"{rest}{'   ' if last else '│  '}")


def _outcome(tree: Traced) -> str:
    from kyanite.expressions import MISSING

    if tree.error is not None:
        return "failed" if any(child.error is not None for child in tree.children) else f"failed: {tree.error}"
    if tree.value is MISSING:
        return "(not evaluated)"
    return f"= {_short(json.dumps(tree.value, ensure_ascii=False))}"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def type_name(value: Any) -> str:
    """The name Data Factory has for a value's type."""
    names = {str: "String", bool: "Bool", int: "Int", float: "Float", list: "Array", dict: "Object"}
    return "Null" if value is None else names[type(value)]


def _variables(text: str | None) -> dict[str, Any]:
    value = read_json(text, "--variables") if text is not None else {}
    if not isinstance(value, dict):
        raise ParameterError("A JSON object is needed: variable name -> value.", where="--variables")
    return value
