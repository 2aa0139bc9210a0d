"""Trees become closures once; evaluating calls them with a scope and a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias, assert_never

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions.check import nodes, problem_of
from kyanite.expressions.functions import find_function
from kyanite.expressions.functions.arguments import ArgumentRefused
from kyanite.expressions.functions.system import clipped, names_text, near_text
from kyanite.expressions.json_text import check_depth, check_result
from kyanite.expressions.scope import Evaluation, Json, Scope, Thunk
from kyanite.expressions.syntax import Call, Constant, Literal, Node, Path, Step, Template, parse
from kyanite.expressions.syntax import Expression as ExpressionTemplate
from kyanite.expressions.values import find_key, joined, kind_of

CARRIER_KEYS = frozenset(("value", "type"))
SCALARS = frozenset((int, float, bool, type(None)))
TEXT_SHOWN = 200
VALUES_SHOWN = 4
VALUE_CHARACTERS = 40


def evaluate(value: Json, scope: Scope) -> Json:
    """Any JSON value with all its expressions evaluated, depth first; keys stay as they are.

    Strings and carriers (`{"value", "type": "Expression"}`) are replaced by their values, all else is copied.
    All expressions of the value share one budget. Raises ExpressionError.
    """
    return _evaluate(value, Evaluation(scope), 1)


def evaluate_text(text: str, scope: Scope) -> Json:
    """The value of one string of a definition: typed for `@expr`, a string for all else. Raises ExpressionError."""
    return _evaluate_text(text, Evaluation(scope)) if "@" in text else text


def _evaluate(value: Json, evaluation: Evaluation, level: int) -> Json:
    if type(value) is str:
        return _evaluate_text(value, evaluation) if "@" in value else value
    if isinstance(value, Mapping):
        check_depth(level)
        if value.keys() == CARRIER_KEYS and value["type"] == "Expression":
            return _evaluate(value["value"], evaluation, level + 1)
        return {key: _evaluate(item, evaluation, level + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        check_depth(level)
        return [_evaluate(item, evaluation, level + 1) for item in value]
    return value


def _evaluate_text(text: str, evaluation: Evaluation, compiled: tuple[int, Thunk] | None = None) -> Json:
    size, program = compiled or (_program(text) if len(text) <= limits.EXPRESSION_CHARACTERS else _compile(text))
    try:
        evaluation.spend(size)
        result = program(evaluation)
        if type(result) is str:
            evaluation.reserve(len(result))
        elif type(result) not in SCALARS:
            check_result(result)
    except ExpressionError as problem:
        raise _placed(problem, text, 0) from None
    return result


def _compile(text: str) -> tuple[int, Thunk]:
    template = parse(text)
    for node in nodes(template):
        if problem := problem_of(node, text):
            raise problem
    size = 0 if isinstance(template, Literal) else template.size
    return size, _program_of(template)


_program = lru_cache(maxsize=4096)(_compile)


Watch: TypeAlias = Callable[[Node, Thunk], Thunk]
"""Wraps the thunk of a node when the tree is compiled: how a trace looks on. The normal program has none."""


def evaluate_watched(text: str, scope: Scope, watch: Watch) -> Json:
    """As `evaluate_text`, with every node wrapped by `watch`."""
    size, _ = _compile(text)
    return _evaluate_text(text, Evaluation(scope), (size, _program_of(parse(text), watch)))


def _program_of(template: Template, watch: Watch | None = None) -> Thunk:
    match template:
        case Literal(value=value):
            return lambda evaluation: value
        case ExpressionTemplate(text=text, node=node):
            return _thunk(node, text, watch)
        case _:
            parts = [_constant(p) if isinstance(p, str) else _thunk(p, template.text, watch) for p in template.parts]
            return lambda evaluation: joined([part(evaluation) for part in parts], "", evaluation)


def _thunk(node: Node, text: str, watch: Watch | None) -> Thunk:
    match node:
        case Constant(value=value):
            thunk = _constant(value)
        case Call():
            thunk = _call(node, text, watch)
        case Path():
            thunk = _path(node, text, watch)
        case _:
            assert_never(node)
    return thunk if watch is None else watch(node, thunk)


def _constant(value: Json) -> Thunk:
    return lambda evaluation: value


def _call(call: Call, text: str, watch: Watch | None) -> Thunk:
    found = find_function(call.name)
    if found is None:
        raise ExpressionError(f"The function '{call.name}' does not exist.", text=text, position=call.start)
    name, function = found
    run = function.implementation
    arguments = tuple(_thunk(argument, text, watch) for argument in call.arguments)

    def refused(problem: ExpressionError, *seen: Json) -> ExpressionError:
        return _refused(problem, name, call, text, seen)

    if function.lazy:
        return _lazy_call(run, arguments, refused)
    match arguments:
        case ():
            return _call_0(run, refused)
        case (first,):
            return _call_1(run, first, refused)
        case (first, second):
            return _call_2(run, first, second, refused)
        case _:
            return _call_many(run, arguments, refused)


Refused: TypeAlias = Callable[..., ExpressionError]  # the problem, then the values of the arguments seen so far


def _lazy_call(run: Callable[..., Json], arguments: tuple[Thunk, ...], refused: Refused) -> Thunk:
    def thunk(evaluation: Evaluation) -> Json:
        try:
            return run(evaluation, *arguments)
        except ExpressionError as problem:
            raise refused(problem) from None

    return thunk


def _call_0(run: Callable[..., Json], refused: Refused) -> Thunk:
    def thunk(evaluation: Evaluation) -> Json:
        try:
            return run(evaluation)
        except ExpressionError as problem:
            raise refused(problem) from None

    return thunk


def _call_1(run: Callable[..., Json], first: Thunk, refused: Refused) -> Thunk:
    def thunk(evaluation: Evaluation) -> Json:
        seen: tuple[Json, ...] = ()
        try:
            seen = (first(evaluation),)
            return run(evaluation, *seen)
        except ExpressionError as problem:
            raise refused(problem, *seen) from None

    return thunk


def _call_2(run: Callable[..., Json], first: Thunk, second: Thunk, refused: Refused) -> Thunk:
    def thunk(evaluation: Evaluation) -> Json:
        seen: tuple[Json, ...] = ()
        try:
            seen = (first(evaluation), second(evaluation))
            return run(evaluation, *seen)
        except ExpressionError as problem:
            raise refused(problem, *seen) from None

    return thunk


def _call_many(run: Callable[..., Json], arguments: tuple[Thunk, ...], refused: Refused) -> Thunk:
    def thunk(evaluation: Evaluation) -> Json:
        seen: list[Json] = []
        try:
            seen = [argument(evaluation) for argument in arguments]
            return run(evaluation, *seen)
        except ExpressionError as problem:
            raise refused(problem, *seen) from None

    return thunk


def _refused(problem: ExpressionError, name: str, call: Call, text: str, seen: Sequence[Json]) -> ExpressionError:
    """The problem with its place: the argument when one is to blame, else the call. One that has a place keeps it."""
    if isinstance(problem, ArgumentRefused):
        position = call.arguments[problem.index].start if problem.index < len(call.arguments) else call.start
        message = (
            f"The function '{name}' was invoked with a parameter that is not valid. {problem.message}"
            f" (in '{_shown(text, call.start, call.end)}'{_values(seen or problem.seen)})"
        )
        return ExpressionError(message, text=text, position=position, cure=problem.cure)
    return _placed(problem, text, call.start)


def _values(seen: Sequence[Json]) -> str:
    """The arguments' values for a message. A long text is told by its length: a piece of a secret would not be known
    as one and so not be masked.
    """
    if not seen:
        return ""
    shown = [_value(value) for value in seen[:VALUES_SHOWN]]
    return f", called with {', '.join(shown)}{', ...' if len(seen) > VALUES_SHOWN else ''}"


def _value(value: Json) -> str:
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= VALUE_CHARACTERS else f"a text of {len(value):,} characters"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e40 else "a very large number"
    kind = kind_of(value)
    return f"an {kind} of {len(value):,} {'members' if kind == 'Object' else 'items'}"


def _placed(problem: ExpressionError, text: str, position: int) -> ExpressionError:
    if problem.position is not None:
        return problem
    return ExpressionError(problem.message, text=text, position=position, cure=problem.cure)


def _shown(text: str, start: int, end: int) -> str:
    return text[start:end] if end - start <= TEXT_SHOWN else text[start : start + TEXT_SHOWN] + "..."


def _path(path: Path, text: str, watch: Watch | None) -> Thunk:
    call = _thunk(path.call, text, watch)
    if all(isinstance(step.key, Constant) for step in path.steps):
        return _fixed_path(path, call, text)
    keys = [(_thunk(step.key, text, watch), step) for step in path.steps]

    def thunk(evaluation: Evaluation) -> Json:
        value = call(evaluation)
        for key, step in keys:
            value = _select(value, key(evaluation), step, path, text, evaluation)
        return value

    return thunk


def _fixed_path(path: Path, call: Thunk, text: str) -> Thunk:
    keys = [(step.key.value, step) for step in path.steps if isinstance(step.key, Constant)]

    def thunk(evaluation: Evaluation) -> Json:
        value = call(evaluation)
        for key, step in keys:
            if type(value) is dict and key in value:
                value = value[key]
            else:
                value = _select(value, key, step, path, text, evaluation)
        return value

    return thunk


def _select(value: Json, key: Json, step: Step, path: Path, text: str, evaluation: Evaluation) -> Json:
    """One accessor: the property or item, null where the step is null-safe, else the service's error."""
    if isinstance(value, Mapping) and type(key) is str:
        evaluation.spend(len(value) >> 8)
        found = find_key(value, key)
        if found is not None:
            return value[found]
        if step.null_safe:
            return None
        problem = f"property '{clipped(key)}' doesn't exist, {names_text('available properties', value)}"
        raise _unselectable(problem, step, path, text, near_text(key, value))
    if isinstance(value, list | tuple) and type(key) is int:
        if 0 <= key < len(value):
            return value[key]
        if step.null_safe and key >= 0:
            return None
        bounds = f"(0, {len(value) - 1}) of array" if value else "of the empty array"
        raise _unselectable(f"array index '{key}' is outside bounds {bounds}", step, path, text)
    if value is None and step.null_safe:
        return None
    raise _unselectable(_mismatch(value, key), step, path, text)


def _mismatch(value: Json, key: Json) -> str:
    shown = clipped(str(key)) if isinstance(key, str | int | float | None) else "..."
    if isinstance(value, list | tuple):
        return f"array items are selected by an integer, not by '{shown}' of type '{kind_of(key)}'"
    if isinstance(value, Mapping):
        return f"properties are selected by a string, not by '{shown}' of type '{kind_of(key)}'"
    problem = f"property '{shown}' cannot be selected"
    if value is None:
        return problem
    return f"{problem}. Property selection is not supported on values of type '{kind_of(value)}'"


def _unselectable(problem: str, step: Step, path: Path, text: str, cure: str | None = None) -> ExpressionError:
    shown = _shown(text, path.start, path.end)
    message = f"The expression '{shown}' cannot be evaluated because {problem}."
    return ExpressionError(message, text=text, position=step.start, cure=cure)
