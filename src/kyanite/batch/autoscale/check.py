"""What is wrong with a formula before it runs: names nobody defines, read-only targets, wrong numbers of arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from kyanite.batch.autoscale.functions import ANY, FUNCTIONS
from kyanite.batch.autoscale.metrics import METHODS
from kyanite.batch.autoscale.names import READ_ALIASES, SYSTEM, WRITABLE, WRITE_ALIASES, is_system, spelled
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
)
from kyanite.batch.autoscale.values import INTERVALS, MEMBERS, Deallocation

_WORDS = tuple(option.value for option in Deallocation)


def check(formula: Formula) -> None:
    """FormulaError for the first statement that cannot be evaluated whatever the samples are."""
    assigned: set[str] = set()
    for statement in formula.statements:
        for node in _nodes(statement.value):
            _check_node(formula.text, node, assigned)
        if statement.name is not None:
            name = spelled(statement.name)
            if (is_system(name) and name not in (*WRITABLE, *WRITE_ALIASES)) or name in INTERVALS:
                cure = f"A formula sets {', '.join(WRITABLE)} and variables of its own."
                raise FormulaError(f"{name} cannot be assigned.", formula.text, statement.start, cure=cure)
            assigned.add(name)


def _nodes(root: Node) -> Iterator[Node]:
    """Every node of an expression, in the order of the text."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(list(_inner(node)))


def _inner(node: Node) -> Iterable[Node]:
    match node:
        case Constant() | Name():
            return ()
        case Vector():
            return node.items
        case Unary():
            return (node.operand,)
        case Chain():
            return (node.first, *(operand for _, _, operand in node.rest))
        case Choice():
            return (node.condition, node.yes, node.no)
        case Call():
            return node.arguments if node.target is None else (node.target, *node.arguments)
        case Member():
            return (node.target,)


def _check_node(text: str, node: Node, assigned: set[str]) -> None:
    match node:
        case Name():
            name = spelled(node.name)
            if not (is_system(name) or name in assigned or name in INTERVALS or name in _WORDS):
                known = [*assigned, *SYSTEM, *READ_ALIASES, *INTERVALS, *_WORDS]
                what = f"{node.name} is no system variable and nothing is assigned to it before."
                raise FormulaError(what, text, node.start, cure=_near(node.name, known))
        case Member() if node.name not in MEMBERS:
            cure = _near(node.name, MEMBERS) or f"A timestamp has {', '.join(MEMBERS)}."
            raise FormulaError(f"There is no member '{node.name}'.", text, node.start, cure=cure)
        case Call():
            _check_call(text, node)
        case _:
            pass


def _check_call(text: str, call: Call) -> None:
    if call.target is None:
        function = FUNCTIONS.get(call.name)
        limits = (function.least, function.most) if function else None
        known: Iterable[str] = FUNCTIONS
    else:
        method = METHODS.get(call.name)
        limits = (method[0], method[1]) if method else None
        known = METHODS
    if limits is None:
        what = "function" if call.target is None else "method"
        cure = _near(call.name, known) or f"Known: {', '.join(known)}."
        raise FormulaError(f"There is no {what} '{call.name}'.", text, call.start, cure=cure)
    least, most = limits
    if not least <= len(call.arguments) <= most:
        wanted = str(least) if least == most else (f"at least {least}" if most == ANY else f"{least} to {most}")
        found = f"{call.name}() takes {wanted} arguments, {len(call.arguments)} are given."
        raise FormulaError(found, text, call.opening)


def _near(name: str, known: Iterable[str]) -> str | None:
    near = get_close_matches(name, sorted(known), n=2)
    return f"Did you mean {' or '.join(near)}?" if near else None
