"""An evaluation that is looked on: every call of an expression with the value it gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from kyanite.errors import ExpressionError
from kyanite.expressions.check import find_problems
from kyanite.expressions.evaluate import evaluate_watched
from kyanite.expressions.scope import MISSING, Evaluation, Json, Missing, Scope, Thunk
from kyanite.expressions.syntax import Call, Constant, Expression, Interpolation, Node, Path, parse


@dataclass(slots=True)
class Traced:
    """One part of an expression: its text and what it gave.

    `value` is MISSING when the part failed (`error` says how) or was never asked for, as what `if` does not choose.
    """

    text: str
    value: Json | Literal[Missing.MISSING] = MISSING
    error: str | None = None
    children: list[Traced] = field(default_factory=list)


def trace(text: str, scope: Scope) -> tuple[Traced, ExpressionError | None]:
    """Evaluate one string of a definition with a tree of its parts; literals are left out, their text shows them.

    The error that ended the evaluation is given, not raised, so that the tree shows how far it came. Raises
    ExpressionError for a text that cannot be evaluated at all (syntax, unknown functions).
    """
    for mistake in find_problems(text):
        raise mistake
    root = Traced(text)
    known: dict[int, Traced] = {}
    root.children = [_tree(node, text, known) for node in _outermost(text)]
    try:
        root.value = evaluate_watched(text, scope, lambda node, thunk: _watched(node, thunk, known))
    except ExpressionError as problem:
        root.error = problem.message
        return _trimmed(root), problem
    return _trimmed(root), None


def _outermost(text: str) -> Iterator[Node]:
    template = parse(text)
    if isinstance(template, Expression):
        yield template.node
    elif isinstance(template, Interpolation):
        yield from (part for part in template.parts if not isinstance(part, str))


def _tree(node: Node, text: str, known: dict[int, Traced]) -> Traced:
    """The entries of all calls below a node, before anything is evaluated."""
    entry = known[id(node)] = Traced(text[node.start : node.end])
    match node:
        case Path():
            inner: tuple[Node, ...] = (node.call, *(step.key for step in node.steps))
        case Call():
            inner = node.arguments
        case Constant():
            inner = ()
    entry.children = [_tree(child, text, known) for child in inner if not isinstance(child, Constant)]
    return entry


def _watched(node: Node, thunk: Thunk, known: dict[int, Traced]) -> Thunk:
    def watched(evaluation: Evaluation) -> Json:
        entry = known.get(id(node))
        try:
            value = thunk(evaluation)
        except ExpressionError as problem:
            if entry is not None:
                entry.error = problem.message
            raise
        if entry is not None:
            entry.value = value
        return value

    return watched


def _trimmed(root: Traced) -> Traced:
    """A whole `@expression` and its one node are the same thing."""
    if len(root.children) == 1 and root.text.startswith("@") and not root.text.startswith("@{"):
        only = root.children[0]
        return Traced(root.text, root.value, root.error, only.children)
    return root


def trace_document(traced: Traced) -> dict[str, Json]:
    """The tree as JSON: `text`, `value` or `error` (neither: not evaluated), `children`."""
    document: dict[str, Json] = {"text": traced.text}
    if traced.error is not None:
        document["error"] = traced.error
    elif traced.value is not MISSING:
        document["value"] = traced.value
    else:
        document["evaluated"] = False
    if traced.children:
        document["children"] = [trace_document(child) for child in traced.children]
    return document
