"""`kyanite eval`: one expression, evaluated as a pipeline would."""

from __future__ import annotations

import json
from typing import Any

import click

from kyanite.cli.command import command, json_option
from kyanite.cli.parameters import assigned, guessed, parameter_option
from kyanite.cli.session import Session, pass_session
from kyanite.definitions.json_text import read_json
from kyanite.errors import ParameterError


@command(
    "eval",
    short_help="Evaluate an expression.",
    examples=[
        ("a function", """kyanite eval "@concat('part', string(add(1, 2)))\""""),
        ("with parameters", """kyanite eval "@concat(pipeline().parameters.folder, '/x')" -p folder=target"""),
        ("with variables", """kyanite eval "@length(variables('names'))" --variables '{"names": ["a", "b"]}'"""),
        ("text with an expression in it", """kyanite eval "run of @{utcNow('yyyy-MM-dd')}\""""),
    ],
)
@click.argument("expression")
@parameter_option
@click.option("--variables", metavar="JSON", help="A JSON object: variable name -> value.")
@json_option
@pass_session
def evaluate(session: Session, expression: str, assignments: tuple[str, ...], variables: str | None) -> None:
    """Evaluate EXPRESSION and print its value.

    EXPRESSION is written as in a definition: `@...` is an expression, `@{...}` one inside a text, all else is plain
    text. Values of -p are JSON where they are JSON, else text. An error shows the place in the text.
    """
    from kyanite.expressions import Scope, evaluate_text

    parameters = {name: guessed(text) for name, text in assigned(assignments).items()}
    scope = Scope(parameters=parameters, variables=_variables(variables))
    value = evaluate_text(expression, scope)
    if session.as_json:
        session.print_json({"value": value, "type": type_name(value)})
        return
    session.echo(value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False))
    if not expression.startswith("@") and "@{" not in expression:
        session.echo("note: this is plain text; an expression starts with @", err=True)


def type_name(value: Any) -> str:
    """The name Data Factory has for a value's type."""
    names = {str: "String", bool: "Bool", int: "Int", float: "Float", list: "Array", dict: "Object"}
    return "Null" if value is None else names[type(value)]


def _variables(text: str | None) -> dict[str, Any]:
    value = read_json(text, "--variables") if text is not None else {}
    if not isinstance(value, dict):
        raise ParameterError("A JSON object is needed: variable name -> value.", where="--variables")
    return value
