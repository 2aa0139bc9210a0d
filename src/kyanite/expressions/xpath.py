"""XPath 1.0 over `xml_tree`: paths, predicates, operators and the core functions, without namespace prefixes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from math import fmod, isnan, nan
from typing import TypeAlias

from kyanite import limits
from kyanite.errors import ExpressionError
from kyanite.expressions.scope import Evaluation
from kyanite.expressions.xml_tree import XmlNode
from kyanite.expressions.xpath_values import (
    FUNCTIONS,
    Focus,
    Value,
    boolean,
    compare,
    in_order,
    node_set,
    number,
)

Part: TypeAlias = Callable[[Focus], Value]
Test: TypeAlias = Callable[[XmlNode], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<literal>'[^']*'|\"[^\"]*\")"
    r"|(?P<mark>//|::|\.\.|!=|<=|>=|[/()\[\].@,|+\-=<>*$])"
    r"|(?P<name>[^\W\d][\w.-]*(?::(?:[^\W\d][\w.-]*|\*)(?!:))?)|(?P<end>\Z)|(?P<bad>.))",
    re.DOTALL,
)
_OPERATOR_NAMES = ("and", "or", "div", "mod")
_OPERATOR_MARKS = ("=", "!=", "<", "<=", ">", ">=", "+", "-", "|", "/", "//")
_NODE_TYPES = ("node", "text", "comment", "processing-instruction")
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("or",),
    ("and",),
    ("=", "!="),
    ("<", "<=", ">", ">="),
    ("+", "-"),
    ("*", "div", "mod"),
)


def evaluate_xpath(document: XmlNode, query: str, evaluation: Evaluation) -> Value:
    """The value of a query: nodes in document order, a double, a string or a boolean. Raises ExpressionError."""
    if len(query) > limits.EXPRESSION_CHARACTERS:
        raise ExpressionError(f"The XPath query is longer than {limits.EXPRESSION_CHARACTERS} characters.")
    parser = _Parser(query)
    part = parser.expression(0)
    if parser.kind != "end":
        raise parser.error("expects an operator")
    return part(Focus(document, 1, 1, _Work(evaluation)))


class _Work:
    """Counts visited nodes; four cost one step of the evaluation."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.visits = 0

    def visit(self, count: int) -> None:
        self.visits += count
        if self.visits >= 4:
            self.evaluation.spend(self.visits >> 2)
            self.visits &= 3


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = list(self.read())
        self.index = 0
        self.depth = 0

    def read(self) -> Iterator[tuple[str, str, int]]:
        position, before = 0, ""
        while True:
            match = _TOKEN.match(self.query, position)
            if match is None or match.lastgroup in (None, "bad"):
                raise ExpressionError(f"The XPath query has an unexpected character at its position {position}.")
            kind, text = str(match.lastgroup), match[str(match.lastgroup)]
            operand_before = before not in ("", "@", "::", "(", "[", ",", "operator")
            operand_before = before not in ("", "@", "::", "(", "[", ",", "operator")
            named = text == "*" or (kind == "name" and text in _OPERATOR_NAMES)
            if (operand_before and named) or (kind == "mark" and text in _OPERATOR_MARKS):
                kind = "operator"
            yield kind, text, match.start(match.lastgroup or 0)
            if kind == "end":
                return
            position, before = match.end(), "operator" if kind == "operator" else text or kind

    @property
    def kind(self) -> str:
        return self.tokens[self.index][0]

    @property
    def text(self) -> str:
        kind, text, _ = self.tokens[self.index]
        return "" if kind == "literal" else text

    def take(self) -> str:
        text = self.tokens[self.index][1]
        self.index += 1
        return text

    def taken(self, *marks: str) -> bool:
        if self.text in marks and self.kind in ("mark", "operator"):
            self.index += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.taken(mark):
            raise self.error(f"expects '{mark}'")

    def error(self, problem: str) -> ExpressionError:
        _, text, position = self.tokens[self.index]
        found = f"'{text}'" if text else "the end"
        return ExpressionError(f"The XPath query {problem} and finds {found} at its position {position}.")

    def expression(self, level: int) -> Part:
        if level == len(_LEVELS):
            return self.unary()
        self.depth += level == 0
        if self.depth > limits.EXPRESSION_DEPTH // 2:
            raise ExpressionError("The XPath query is nested too deep.")
        left = self.expression(level + 1)
        count = 0
        while self.kind == "operator" and self.text in _LEVELS[level]:
            count += 1
            if count > limits.EXPRESSION_DEPTH:
                raise ExpressionError("The XPath query has too many operators in a row.")
            left = _binary(self.take(), left, self.expression(level + 1))
        self.depth -= level == 0
        return left

    def unary(self) -> Part:
        signs = 0
        while self.taken("-"):
            signs += 1
        part = self.union()
        if not signs:
            return part
        return lambda focus: -number(part(focus), focus) if signs % 2 else number(part(focus), focus)

    def union(self) -> Part:
        parts = [self.path()]
        while self.taken("|"):
            parts.append(self.path())
        if len(parts) == 1:
            return parts[0]
        return lambda focus: in_order(chain.from_iterable(node_set(part(focus)) for part in parts))

    def path(self) -> Part:
        following = self.tokens[self.index + 1][1] if self.index + 1 < len(self.tokens) else ""
        is_call = self.kind == "name" and following == "(" and self.text not in _NODE_TYPES
        if self.kind in ("literal", "number") or self.text in ("(", "$") or is_call:
            return self.filtered()
        if self.kind == "operator" and self.text in ("/", "//"):
            steps = [] if self.take() == "/" else [_DESCEND]
            if steps or self.kind == "name" or self.text in (".", "..", "@", "*"):
                steps += self.steps()
            return _located(_root, steps)
        return _located(lambda focus: [focus.node], self.steps())

    def filtered(self) -> Part:
        start = self.primary()
        predicates = self.predicates()
        steps = [_Step(lambda node: [node], _always, tuple(predicates), whole=True)] if predicates else []
        if self.kind == "operator" and self.text in ("/", "//"):
            steps += ([] if self.take() == "/" else [_DESCEND]) + self.steps()
        return _located(start, steps) if steps else start

    def primary(self) -> Part:
        if self.taken("("):
            part = self.expression(0)
            self.expect(")")
            return part
        if self.kind == "literal":
            literal = self.take()[1:-1]
            return lambda focus: literal
        if self.kind == "number":
            value = float(self.take())
            return lambda focus: value
        if self.kind != "name":
            raise self.error("has no variables: it expects a value")
        return self.call()

    def call(self) -> Part:
        name = self.text
        if name not in FUNCTIONS:
            raise self.error("expects a function of XPath 1.0")
        self.take()
        function, least, most = FUNCTIONS[name]
        self.expect("(")
        arguments: list[Part] = []
        while not self.taken(")"):
            if arguments:
                self.expect(",")
            arguments.append(self.expression(0))
        if not least <= len(arguments) <= most:
            raise ExpressionError(f"The XPath function '{name}' takes {least} to {most} arguments.")
        return lambda focus: function(focus, *[argument(focus) for argument in arguments])

    def steps(self) -> list[_Step]:
        steps = [self.step()]
        while self.kind == "operator" and self.text in ("/", "//"):
            if self.take() == "//":
                steps.append(_DESCEND)
            steps.append(self.step())
        return steps

    def step(self) -> _Step:
        if self.taken("."):
            return _Step(_AXES["self"], _always, ())
        if self.taken(".."):
            return _Step(_AXES["parent"], _always, ())
        axis = "attribute" if self.taken("@") else "child"
        if self.kind == "name" and self.tokens[self.index + 1][1] == "::":
            axis = self.text
            if axis not in _AXES:
                raise self.error("expects an axis")
            self.index += 2
        test = self.test("attribute" if axis == "attribute" else "element")
        return _Step(_AXES[axis], test, tuple(self.predicates()))

    def test(self, kind: str) -> Test:
        if self.text == "*" and self.kind in ("mark", "operator"):
            self.take()
            return lambda node: node.kind == kind
        if self.kind != "name":
            raise self.error("expects a step")
        name = self.take()
        if name in _NODE_TYPES and self.taken("("):
            self.expect(")")
            return _always if name == "node" else lambda node: node.kind == name
        if ":" in name:
            raise ExpressionError(f"The XPath query uses the prefix of '{name}': use local-name() and namespace-uri().")
        return lambda node: node.kind == kind and node.name == name and not node.namespace

    def predicates(self) -> list[Part]:
        found: list[Part] = []
        while self.taken("["):
            found.append(self.expression(0))
            self.expect("]")
        return found


def _binary(operator: str, left: Part, right: Part) -> Part:
    match operator:
        case "or":
            return lambda focus: boolean(left(focus)) or boolean(right(focus))
        case "and":
            return lambda focus: boolean(left(focus)) and boolean(right(focus))
        case "+":
            return lambda focus: number(left(focus), focus) + number(right(focus), focus)
        case "-":
            return lambda focus: number(left(focus), focus) - number(right(focus), focus)
        case "*":
            return lambda focus: number(left(focus), focus) * number(right(focus), focus)
        case "div":
            return lambda focus: _divided(number(left(focus), focus), number(right(focus), focus))
        case "mod":
            return lambda focus: _rest(number(left(focus), focus), number(right(focus), focus))
        case _:
            return lambda focus: compare(operator, left(focus), right(focus), focus)


def _divided(left: float, right: float) -> float:
    if right:
        return left / right
    return nan if not left or isnan(left) else left * float("inf")


def _rest(left: float, right: float) -> float:
    return fmod(left, right) if right and abs(left) != float("inf") else nan


@dataclass(frozen=True)
class _Step:
    """`whole` predicates count positions over all nodes so far, as in `(//a)[1]`."""

    axis: Callable[[XmlNode], list[XmlNode]]
    test: Test
    predicates: tuple[Part, ...]
    whole: bool = False


def _located(start: Part, steps: list[_Step]) -> Part:
    def part(focus: Focus) -> Value:
        nodes = node_set(start(focus))
        for step in steps:
            groups = [nodes] if step.whole else [_candidates(node, step, focus) for node in nodes]
            for predicate in step.predicates:
                groups = [_kept(group, predicate, focus) for group in groups]
            nodes = in_order(chain.from_iterable(groups))
        return nodes

    return part


def _candidates(node: XmlNode, step: _Step, focus: Focus) -> list[XmlNode]:
    found = step.axis(node)
    focus.work.visit(1 + len(found))
    return [other for other in found if step.test(other)]


def _kept(nodes: list[XmlNode], predicate: Part, focus: Focus) -> list[XmlNode]:
    kept = []
    for position, node in enumerate(nodes, 1):
        focus.work.visit(1)
        value = predicate(Focus(node, position, len(nodes), focus.work))
        if value == position if isinstance(value, float) else boolean(value):
            kept.append(node)
    return kept


def _always(node: XmlNode) -> bool:
    return True


def _root(focus: Focus) -> Value:
    return [_ancestors(focus.node)[-1] if focus.node.parent else focus.node]


def _ancestors(node: XmlNode) -> list[XmlNode]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def _siblings(node: XmlNode) -> tuple[list[XmlNode], list[XmlNode]]:
    """Those before, nearest first, and those after."""
    if node.parent is None or node.kind == "attribute":
        return [], []
    index = next(i for i, other in enumerate(node.parent.children) if other is node)
    return node.parent.children[:index][::-1], node.parent.children[index + 1 :]


def _with_below(nodes: list[XmlNode]) -> list[XmlNode]:
    return [found for node in nodes for found in (node, *node.below())]


def _following(node: XmlNode) -> list[XmlNode]:
    return [found for one in (node, *_ancestors(node)) for found in _with_below(_siblings(one)[1])]


def _preceding(node: XmlNode) -> list[XmlNode]:
    return [found for one in (node, *_ancestors(node)) for n in _siblings(one)[0] for found in _with_below([n])[::-1]]


_AXES: dict[str, Callable[[XmlNode], list[XmlNode]]] = {
    "ancestor": _ancestors,
    "ancestor-or-self": lambda node: [node, *_ancestors(node)],
    "attribute": lambda node: (
        [a for a in node.attributes if a.name.partition(":")[0] != "xmlns"] if node.kind == "element" else []
    ),
    "child": lambda node: node.children,
    "descendant": lambda node: list(node.below()),
    "descendant-or-self": lambda node: [node, *node.below()],
    "following": _following,
    "following-sibling": lambda node: _siblings(node)[1],
    "parent": lambda node: [node.parent] if node.parent else [],
    "preceding": _preceding,
    "preceding-sibling": lambda node: _siblings(node)[0],
    "self": lambda node: [node],
}
_DESCEND = _Step(_AXES["descendant-or-self"], _always, ())
