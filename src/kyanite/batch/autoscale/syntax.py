"""Formula text -> statements, by a Pratt parser; what can be known without samples is checked too.

Operators of one precedence in a row are one Chain, so that the height of a tree is bounded by the nesting in the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from kyanite import limits
from kyanite.batch.autoscale.tokens import FormulaError, Token, tokens

__all__ = ["Formula", "FormulaError", "parse_formula"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A number or a string."""

    value: float | str
    start: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, a system variable, a time interval or a deallocation option."""

    name: str
    start: int


@dataclass(frozen=True, slots=True)
class Vector:
    """`[a, b, ...]`."""

    items: tuple[Node, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x` or `!x`."""

    operator: str
    operand: Node
    start: int


@dataclass(frozen=True, slots=True)
class Chain:
    """`first op x op y ...`, all of one precedence, worked off from the left."""

    first: Node
    rest: tuple[tuple[str, int, Node], ...]
    start: int


@dataclass(frozen=True, slots=True)
class Choice:
    """`condition ? yes : no`; only one branch is evaluated."""

    condition: Node
    yes: Node
    no: Node
    start: int


@dataclass(frozen=True, slots=True)
class Call:
    """`name(...)`, or `target.name(...)`; `opening` is where the parenthesis stands."""

    name: str
    arguments: tuple[Node, ...]
    start: int
    opening: int
    target: Node | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`."""

    target: Node
    name: str
    start: int


Node: TypeAlias = Constant | Name | Vector | Unary | Chain | Choice | Call | Member


@dataclass(frozen=True, slots=True)
class Statement:
    """`name = value`; a call alone (such as `stop()`) has no name."""

    name: str | None
    value: Node
    start: int


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was read and whose names are known."""

    text: str
    statements: tuple[Statement, ...]


_CHOICE = 1
_BINARY = {"||": 2, "&&": 3, "==": 4, "!=": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "+": 6, "-": 6, "*": 7, "/": 7}
_PREFIX = 8


@lru_cache(maxsize=256)
def parse_formula(text: str) -> Formula:
    """Read a formula; FormulaError with the place of the first mistake (a syntax error, an unknown name, a limit)."""
    from kyanite.batch.autoscale.check import check

    formula = Formula(text, tuple(_Parser(text).statements()))
    check(formula)
    return formula


class _Parser:
    """One look at each token; `depth` counts what is open around the current one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.index = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        while self.token.kind != "end":
            if self.taken(";"):
                continue
            if len(found) == limits.AUTOSCALE_STATEMENTS:
                raise self.error(f"A formula has at most {limits.AUTOSCALE_STATEMENTS} statements.", self.token)
            found.append(self.statement())
            if self.token.kind != "end" and not self.taken(";"):
                raise self.unexpected("an operator or ';'")
        return found

    def statement(self) -> Statement:
        first = self.token
        if first.kind == "name" and self.tokens[self.index + 1].text == "=":
            self.index += 2
            return Statement(first.text, self.expression(_CHOICE), first.start)
        value = self.expression(_CHOICE)
        if not isinstance(value, Call):
            raise self.error("A statement is `name = expression`.", first)
        return Statement(None, value, first.start)

    def expression(self, least: int) -> Node:
        self.depth += 1
        if self.depth > limits.AUTOSCALE_DEPTH:
            raise self.error(f"The formula is nested deeper than {limits.AUTOSCALE_DEPTH} levels.", self.token)
        left = self.prefix()
        chained = 0  # the precedence of the chain in `left`, 0 when it is none
        while self.token.kind == "mark":
            operator = self.token
            power = _BINARY.get(operator.text, 0)
            if operator.text == "?" and least <= _CHOICE:
                left, chained = self.choice(left), 0
            elif power and power >= least:
                self.index += 1
                step = (operator.text, operator.start, self.expression(power + 1))
                if isinstance(left, Chain) and chained == power:
                    left = Chain(left.first, (*left.rest, step), left.start)
                else:
                    left = Chain(left, (step,), operator.start)
                chained = power
            else:
                break
        self.depth -= 1
        return left

    def choice(self, condition: Node) -> Node:
        start = self.token.start
        self.index += 1
        yes = self.expression(_CHOICE)
        self.expect(":")
        return Choice(condition, yes, self.expression(_CHOICE), start)

    def prefix(self) -> Node:
        token = self.token
        self.index += 1
        if token.kind == "number":
            return self.postfix(Constant(self.number(token), token.start))
        if token.kind == "string":
            return self.postfix(Constant(token.text[1:-1], token.start))
        if token.kind == "name":
            if self.token.text == "(":
                return self.postfix(self.call(token, None))
            return self.postfix(Name(token.text, token.start))
        if token.text in ("-", "!", "+"):
            operand = self.expression(_PREFIX)
            return operand if token.text == "+" else Unary(token.text, operand, token.start)
        if token.text == "(":
            inner = self.expression(_CHOICE)
            self.expect(")")
            return self.postfix(inner)
        if token.text == "[":
            return self.postfix(Vector(self.items("]"), token.start))
        self.index -= 1
        raise self.unexpected("a value")

    def postfix(self, node: Node) -> Node:
        steps = 0
        while self.taken("."):
            steps += 1
            name = self.token
            if name.kind != "name" or steps > limits.AUTOSCALE_DEPTH:
                raise self.unexpected("a member's name")
            self.index += 1
            node = self.call(name, node) if self.token.text == "(" else Member(node, name.text, name.start)
        return node

    def call(self, name: Token, target: Node | None) -> Call:
        opening = self.token.start
        self.index += 1
        return Call(name.text, self.items(")"), name.start, opening, target)

    def items(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        if self.taken(closing):
            return ()
        while True:
            found.append(self.expression(_CHOICE))
            if self.taken(closing):
                return tuple(found)
            if not self.taken(","):
                raise self.unexpected(f"',' or '{closing}'")

    def number(self, token: Token) -> float:
        value = float(token.text)
        if value == float("inf"):
            raise self.error("The number is too large.", token)
        return value

    def taken(self, mark: str) -> bool:
        if self.token.kind == "mark" and self.token.text == mark:
            self.index += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.taken(mark):
            raise self.unexpected(f"'{mark}'")

    def unexpected(self, wanted: str) -> FormulaError:
        found = "the formula ends" if self.token.kind == "end" else f"'{self.token.text[:40]}' stands here"
        cure = "Compare with ==; each statement assigns once." if self.token.text == "=" else None
        return FormulaError(f"{wanted} is expected, but {found}.", self.text, self.token.start, cure=cure)

    def error(self, detail: str, token: Token) -> FormulaError:
        return FormulaError(detail, self.text, token.start)
