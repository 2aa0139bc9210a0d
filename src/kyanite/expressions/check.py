"""What can be said about an expression without evaluating it: its mistakes and what it refers to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kyanite.errors import ExpressionError
from kyanite.expressions.functions import FUNCTIONS, LOGIC_APPS, find_function
from kyanite.expressions.functions.system import near_text
from kyanite.expressions.syntax import Call, Constant, Expression, Interpolation, Node, Path, Template, parse


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that an expression reads.

    `kind` is activity, variable, parameter, globalParameter, pipeline (system variable), item, dataset, linkedService,
    trigger or triggerBody; `name` the activity's, variable's ... or, of the last four, the first property ('' when
    there is none; always of item); `position` the 0-based offset of the name. `optional` tells a null-safe access.
    """

    kind: str
    name: str
    position: int
    optional: bool = False


def find_problems(text: str) -> list[ExpressionError]:
    """Every mistake that shows without evaluating: syntax (the first only), unknown functions, numbers of arguments."""
    try:
        template = parse(text)
    except ExpressionError as problem:
        return [problem]
    return [found for node in nodes(template) if (found := problem_of(node, text))]


def references(text: str) -> Iterator[Reference]:
    """What a string of a definition reads, literal names only; raises ExpressionError when it does not parse."""
    told: Call | None = None  # the call whose property has just been told
    for node in nodes(parse(text)):
        if isinstance(node, Path):
            for reference in _path_references(node):
                told = node.call
                yield reference
        elif isinstance(node, Call) and node is not told:
            yield from _call_references(node)


def nodes(template: Template) -> Iterator[Node]:
    """All nodes in the order of their text; a path comes before its call, a call before its arguments."""
    waiting: list[Node] = []
    if isinstance(template, Expression):
        waiting.append(template.node)
    elif isinstance(template, Interpolation):
        waiting.extend(part for part in reversed(template.parts) if not isinstance(part, str))
    while waiting:
        node = waiting.pop()
        yield node
        match node:
            case Path():
                waiting.extend(step.key for step in reversed(node.steps))
                waiting.append(node.call)
            case Call():
                waiting.extend(reversed(node.arguments))
            case Constant():
                continue


def problem_of(node: Node, text: str) -> ExpressionError | None:
    """Why a call cannot be right whatever its values are, or None."""
    if not isinstance(node, Call):
        return None
    found = find_function(node.name)
    if found is None:
        return _unknown(node, text)
    name, function = found
    if function.takes(len(node.arguments)):
        return None
    message = f"The function '{name}' takes {function.arity} argument(s), not {len(node.arguments)}."
    return ExpressionError(message, text=text, position=node.start)


def _unknown(call: Call, text: str) -> ExpressionError:
    name = call.name[:100]
    folded = name.lower()
    cure = None
    if any(folded == other.lower() for other in LOGIC_APPS):
        message = f"The function '{name}' belongs to Logic Apps; Data Factory does not have it."
    else:
        message = f"The function '{name}' does not exist."
        cure = near_text(name, FUNCTIONS)
    return ExpressionError(message, text=text, position=call.start, cure=cure)


_ROOTS = {"dataset": "dataset", "linkedservice": "linkedService", "trigger": "trigger", "triggerbody": "triggerBody"}
_MAPS = {"parameters": "parameter", "globalparameters": "globalParameter"}
_NAMED = {"activity": "activity", "variables": "variable"}


def _call_references(call: Call) -> Iterator[Reference]:
    kind = _NAMED.get(call.name.lower())
    if kind and len(call.arguments) == 1:
        name = call.arguments[0]
        if isinstance(name, Constant) and isinstance(name.value, str):
            yield Reference(kind, name.value, name.start)
    elif call.name.lower() == "item":
        yield Reference("item", "", call.start)
    elif call.name.lower() in _ROOTS:
        yield Reference(_ROOTS[call.name.lower()], "", call.start)


def _path_references(path: Path) -> Iterator[Reference]:
    root = path.call.name.lower()
    steps = [(step.key, step.null_safe) for step in path.steps[:2]]
    literal = [(key.value, key.start, safe) for key, safe in steps if isinstance(key, Constant)]
    names = [(value, start, safe) for value, start, safe in literal if isinstance(value, str)]
    if len(names) < len(steps):
        names = names[:1] if steps and isinstance(steps[0][0], Constant) else []
    if not names:
        return
    first, start, safe = names[0]
    if root in _ROOTS:
        yield Reference(_ROOTS[root], first, start, safe)
    elif root == "pipeline" and first.lower() not in _MAPS:
        yield Reference("pipeline", first, start, safe)
    elif root == "pipeline" and len(names) > 1:
        name, start, safe = names[1]
        yield Reference(_MAPS[first.lower()], name, start, safe)
