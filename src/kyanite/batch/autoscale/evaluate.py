"""A formula on samples -> the targets it asks for, and the results as the service reports them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kyanite import limits
from kyanite.batch.autoscale.functions import FUNCTIONS, Stopped
from kyanite.batch.autoscale.metrics import METHODS, METRICS, InsufficientData, Metric, Samples, metric
from kyanite.batch.autoscale.names import (
    DEDICATED,
    LOW_PRIORITY,
    OPTION,
    READ_ALIASES,
    SLOTS,
    WRITABLE,
    WRITE_ALIASES,
    is_system,
    spelled,
)
from kyanite.batch.autoscale.syntax import (
    Call,
    Chain,
    Choice,
    Constant,
    Formula,
    FormulaError,
    Member,
    Name,
    Node,
    Unary,
    Vector,
    parse_formula,
)
from kyanite.batch.autoscale.tokens import EVALUATION_ERROR, place
from kyanite.batch.autoscale.values import (
    INTERVALS,
    MEMBERS,
    Deallocation,
    Interval,
    Timestamp,
    Value,
    ValueProblem,
    arithmetic,
    compare,
    kind,
    text_of,
    timestamp_of,
)

_INSUFFICIENT = "Autoscale evaluation failed due to insufficient sample data"
_FAILED = "Autoscale evaluation failed due to an error in evaluating the formula"


@dataclass(frozen=True)
class Current:
    """What the pool is before the evaluation: its targets, option and slots per node."""

    dedicated: int = 0
    low_priority: int = 0
    option: str = "requeue"
    slots_per_node: int = 1


@dataclass(frozen=True)
class AutoscaleRun:
    """One evaluation at a moment. With an `error` (code, detail with line and column) the targets are the old ones."""

    at: datetime
    results: str
    dedicated: int
    low_priority: int
    option: str
    error: tuple[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """The service's AutoScaleRun."""
        stamp = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        document: dict[str, Any] = {"timestamp": stamp, "results": self.results}
        if self.error is not None:
            code, detail = self.error
            message = _INSUFFICIENT if code == "InsufficientSampleData" else _FAILED
            values = [{"name": "Message", "value": detail}]
            document["error"] = {"code": code, "message": message, "values": values}
        return document


@dataclass
class Evaluation:
    """One evaluation under way."""

    text: str
    now: Timestamp
    samples: Samples
    at: datetime
    current: Current
    rand: Callable[[], float]
    variables: dict[str, Value] = field(default_factory=dict)
    metrics: dict[str, Metric] = field(default_factory=dict)
    fuel: int = limits.AUTOSCALE_FUEL

    def error(self, detail: str, position: int, code: str = EVALUATION_ERROR) -> FormulaError:
        """The failure at a place of the formula."""
        return FormulaError(detail, self.text, position, code=code)

    def spend(self, value: Value, position: int) -> Value:
        """The value, after its size was taken from what the evaluation may use."""
        self.fuel -= len(value) if isinstance(value, tuple) else 1
        if self.fuel < 0:
            raise self.error(f"The formula takes more than {limits.AUTOSCALE_FUEL:,} steps.", position)
        return value


def evaluate(
    formula: Formula | str,
    samples: Samples,
    now: datetime,
    current: Current,
    *,
    rand: Callable[[], float] = lambda: 0.5,
) -> AutoscaleRun:
    """Run a formula; a failure is the run's `error`. A text that is no formula raises FormulaError."""
    parsed = parse_formula(formula) if isinstance(formula, str) else formula
    run = Evaluation(parsed.text, timestamp_of(now), samples, now, current, rand)
    old = (current.dedicated, current.low_priority, current.option)
    try:
        _run(parsed, run)
        dedicated, low_priority, option = _targets(parsed, run)
    except FormulaError as failure:
        detail = f"{place(parsed.text, failure.position)}: {failure.detail}"
        return AutoscaleRun(now, _results(run, *old), *old, error=(failure.error_code, detail))
    return AutoscaleRun(now, _results(run, dedicated, low_priority, option), dedicated, low_priority, option)


def _run(formula: Formula, run: Evaluation) -> None:
    try:
        for statement in formula.statements:
            value = _value(statement.value, run)
            if statement.name is not None:
                run.variables[spelled(statement.name)] = value
    except Stopped:
        return


def _targets(formula: Formula, run: Evaluation) -> tuple[int, int, str]:
    """The final targets; a full name wins over its alias, what was never assigned stays as it is."""
    starts = {spelled(statement.name): statement.start for statement in formula.statements if statement.name}
    found: dict[str, Value] = {}
    for name in (*WRITE_ALIASES, *WRITABLE):
        if name in run.variables:
            target = WRITE_ALIASES.get(name, name)
            found[target] = _target(run, target, run.variables[name], starts[name])
    option = found.get(OPTION, Deallocation(run.current.option))
    return (
        int(found.get(DEDICATED, run.current.dedicated)),  # type: ignore[arg-type]
        int(found.get(LOW_PRIORITY, run.current.low_priority)),  # type: ignore[arg-type]
        text_of(option),
    )


def _target(run: Evaluation, name: str, value: Value, start: int) -> Value:
    if name == OPTION:
        if isinstance(value, Deallocation):
            return value
        words = ", ".join(option.value for option in Deallocation)
        raise run.error(f"{name} is a {kind(value)}; it takes one of the words {words}.", start)
    number = _double(value, run, start)
    if not math.isfinite(number) or number > limits.AUTOSCALE_TARGET:
        raise run.error(f"{name} is {text_of(number)}; a number of nodes is needed.", start)
    return float(max(0, int(number)))


def _results(run: Evaluation, dedicated: int, low_priority: int, option: str) -> str:
    own = sorted(name for name in run.variables if not is_system(name))
    texts = [f"{DEDICATED}={dedicated}", f"{LOW_PRIORITY}={low_priority}", f"{OPTION}={option}"]
    return ";".join([*texts, *(f"{name}={text_of(run.variables[name])}" for name in own)])


# ---- expressions


def _value(node: Node, run: Evaluation) -> Value:
    match node:
        case Constant():
            return node.value
        case Name():
            return run.spend(_named(spelled(node.name), run), node.start)
        case Vector():
            return run.spend(tuple(_double(_value(item, run), run, item.start) for item in node.items), node.start)
        case Unary():
            return _unary(node, run)
        case Chain():
            return _chain(node, run)
        case Choice():
            chosen = node.yes if _double(_value(node.condition, run), run, node.start) else node.no
            return _value(chosen, run)
        case Member():
            value = _value(node.target, run)
            if not isinstance(value, Timestamp):
                raise run.error(f"A {kind(value)} has no member '{node.name}'.", node.start)
            return float(MEMBERS[node.name](value.moment))
        case Call():
            return _call(node, run)


def _named(name: str, run: Evaluation) -> Value:
    if name in run.variables:
        return run.variables[name]
    name = READ_ALIASES.get(name, name)
    if name in run.variables:
        return run.variables[name]
    match name:
        case "$TargetDedicatedNodes":
            return _assigned_alias(name, run, float(run.current.dedicated))
        case "$TargetLowPriorityNodes":
            return _assigned_alias(name, run, float(run.current.low_priority))
        case "$NodeDeallocationOption":
            return _assigned_alias(name, run, Deallocation(run.current.option))
    if name == SLOTS:
        return float(run.current.slots_per_node)
    if name in METRICS:
        if name not in run.metrics:
            run.metrics[name] = metric(name, run.samples, run.at)
        return run.metrics[name]
    return INTERVALS[name] if name in INTERVALS else Deallocation(name)


def _assigned_alias(name: str, run: Evaluation, current: Value) -> Value:
    """A target whose alias was assigned has the alias's value."""
    return next(
        (run.variables[alias] for alias, full in WRITE_ALIASES.items() if full == name and alias in run.variables),
        current,
    )


def _unary(node: Unary, run: Evaluation) -> Value:
    value = _value(node.operand, run)
    if isinstance(value, Interval) and node.operator == "-":
        return Interval(-value.ticks)
    number = _double(value, run, node.start)
    return -number if node.operator == "-" else float(not number)


def _chain(node: Chain, run: Evaluation) -> Value:
    left = _value(node.first, run)
    for operator, start, operand in node.rest:
        if operator in ("&&", "||"):
            truth = bool(_double(left, run, start))
            if truth == (operator == "&&"):
                truth = bool(_double(_value(operand, run), run, start))
            left = float(truth)
            continue
        right = _plain(_value(operand, run), run, start)
        left = _plain(left, run, start)
        try:
            if operator in ("+", "-", "*", "/"):
                left = arithmetic(operator, left, right)
            else:
                left = compare(operator, *_alike(left, right))
        except ValueProblem as problem:
            raise run.error(str(problem), start) from None
        run.spend(left, start)
    return left


def _alike(left: Value, right: Value) -> tuple[Value, Value]:
    """A vector of one element compares as its element."""
    if isinstance(left, tuple) and len(left) == 1 and isinstance(right, float):
        return left[0], right
    if isinstance(right, tuple) and len(right) == 1 and isinstance(left, float):
        return left, right[0]
    return left, right


def _call(node: Call, run: Evaluation) -> Value:
    target = None if node.target is None else _value(node.target, run)
    if target is not None and not isinstance(target, Metric):
        raise run.error(f"A {kind(target)} has no method '{node.name}'.", node.start)
    arguments: Sequence[Value] = [_plain(_value(item, run), run, item.start) for item in node.arguments]
    try:
        if isinstance(target, Metric):
            value: Value = METHODS[node.name][2](target, arguments)
        else:
            value = FUNCTIONS[node.name].do(run, arguments)
    except InsufficientData as problem:
        raise run.error(str(problem), node.opening, "InsufficientSampleData") from None
    except (ValueProblem, OverflowError) as problem:
        raise run.error(str(problem), node.opening) from None
    return run.spend(value, node.start)


def _plain(value: Value, run: Evaluation, position: int) -> Value:
    """A metric as its newest value; any other value as it is."""
    if not isinstance(value, Metric):
        return value
    try:
        return value.newest()
    except InsufficientData as problem:
        raise run.error(str(problem), position, "InsufficientSampleData") from None


def _double(value: Value, run: Evaluation, position: int) -> float:
    plain = _plain(value, run, position)
    if isinstance(plain, tuple) and len(plain) == 1:
        return plain[0]
    if not isinstance(plain, float):
        raise run.error(f"A double is needed, this is a {kind(plain)}.", position)
    return plain
