"""The text of a definition's string becomes a frozen tree whose nodes know where they stand.

Grammar (Data Factory, with the engine's rules on `@` and `@@`):

    string   = literal | "@@" rest | "@" expr ws | { text | "@{" expr "}" | "@@{" text "}" }
    expr     = value | call { accessor }
    value    = number | "'" chars "'" | "true" | "false" | "null"
    call     = name "(" [ expr { "," expr } ] ")"
    accessor = "." name | "?." name | "[" expr "]" | "?[" expr "]"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from kyanite import limits
from kyanite.errors import ExpressionError

INTEGER_MINIMUM = -(2**63)
INTEGER_MAXIMUM = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal: string, number, true, false or null. `start` and `end` are offsets in the whole string."""

    value: str | int | float | bool | None
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; `name` is as written."""

    name: str
    arguments: tuple[Node, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Step:
    """One accessor of a path: `.name`, `[expr]` or a null-safe form of them."""

    key: Node
    null_safe: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Path:
    """A call followed by at least one accessor."""

    call: Call
    steps: tuple[Step, ...]
    start: int
    end: int


Node: TypeAlias = Constant | Call | Path


@dataclass(frozen=True, slots=True)
class Literal:
    """A string without an expression; `value` is what it means (`@@x` means `@x`)."""

    text: str
    value: str


@dataclass(frozen=True, slots=True)
class Expression:
    """`@expr`: gives the typed value of its one node. `size` counts the nodes."""

    text: str
    node: Node
    size: int


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Text with `@{expr}` in it: always gives a string. `size` counts the nodes."""

    text: str
    parts: tuple[str | Node, ...]
    size: int


Template: TypeAlias = Literal | Expression | Interpolation

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_TOKEN = re.compile(
    r"\s*+(?:"
    r"(?P<name>(?:[^\W\d]|\$)(?:\w|\$)*+)"
    r"|(?P<number>[+-]?[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?)"
    r"|(?P<string>'[^']*+(?:''[^']*+)*+')"
    r"|(?P<mark>\?\.|\?\[|[().,\[\]{}])"
    r"|(?P<end>\Z)"
    r"|(?P<bad>.)"
    r")",
    re.DOTALL,
)
_CURES = {
    '"': "Strings take single quotes.",
    "'": "The string has no closing quote; a quote inside a string is written twice.",
    "+": "There are no operators: use add() or concat().",
    "-": "There are no operators: use sub(); a name with '-' needs brackets: ['my-name'].",
    "*": "There are no operators: use mul().",
    "/": "There are no operators: use div().",
    "%": "There are no operators: use mod().",
    "=": "There are no operators: use equals().",
    "!": "There are no operators: use not().",
    "<": "There are no operators: use less().",
    ">": "There are no operators: use greater().",
    "&": "There are no operators: use and() or concat().",
    "|": "There are no operators: use or().",
    ";": "Arguments are separated by commas.",
    "(": "Parentheses stand after a function's name only.",
    "{": "There are no object literals: use json('{...}').",
    "[": "There are no array literals: use createArray().",
    "@": "A second '@' is not needed inside an expression.",
}


def parse(text: str) -> Template:
    """Read one string of a definition; raises ExpressionError with the position of the first mistake.

    Answers for texts of ordinary length are cached.
    """
    if "@" not in text:
        return Literal(text, text)
    return _parse_cached(text) if len(text) <= limits.EXPRESSION_CHARACTERS else _parse(text)


def _parse(text: str) -> Template:
    if text.startswith("@") and not text.startswith("@{"):
        if text == "@" or text[1] == "@":
            return Literal(text, text[1:] or "@")
        parser = _Parser(text)
        node = parser.expression(1)
        parser.expect_end()
        return Expression(text, node, parser.nodes)
    return _parse_interpolation(text)


_parse_cached = lru_cache(maxsize=4096)(_parse)


def _parse_interpolation(text: str) -> Template:
    parser = _Parser(text)
    parts: list[str | Node] = []
    literal: list[str] = []
    position = 0
    while (opening := text.find("@{", position)) >= 0:
        if opening > position and text[opening - 1] == "@":
            literal += text[position : opening - 1], "@{"
            position = opening + 2
            continue
        literal.append(text[position:opening])
        parts += ("".join(literal), parser.braced(opening))
        literal.clear()
        position = parser.position
    literal.append(text[position:])
    parts.append("".join(literal))
    if len(parts) == 1:
        return Literal(text, "".join(literal))
    return Interpolation(text, tuple(part for part in parts if part != ""), parser.nodes)


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


class _Parser:
    """Recursive descent over one string, one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.nodes = 0
        self.begin = 0
        self.token = _Token("end", "", 0, 0)

    def braced(self, opening: int) -> Node:
        """The expression of `@{expr}` whose `@` stands at `opening`; leaves `position` after the brace."""
        node = self.expression(opening + 2)
        if self.token.text != "}" or self.token.kind != "mark":
            raise self.unexpected("'}'")
        self.position = self.token.end
        return node

    def expression(self, begin: int) -> Node:
        self.begin = self.position = begin
        self.advance()
        return self.node(1)

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected("the end of the expression")

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.position)
        if match is None or match.lastgroup is None:
            raise self.error("cannot be read", self.position)
        kind = match.lastgroup
        self.token = _Token(kind, match[kind], match.start(kind), match.end())
        self.position = match.end()
        if self.position - self.begin > limits.EXPRESSION_CHARACTERS:
            raise self.error(f"is longer than {limits.EXPRESSION_CHARACTERS} characters", self.begin)

    def node(self, level: int) -> Node:
        self.nodes += 1
        if self.nodes > limits.EXPRESSION_NODES:
            raise self.error(f"has more than {limits.EXPRESSION_NODES} parts", self.token.start)
        if level > limits.EXPRESSION_DEPTH:
            raise self.error(f"is nested deeper than {limits.EXPRESSION_DEPTH} levels", self.token.start)
        token = self.token
        if token.kind == "name":
            self.advance()
            if self.at("("):
                return self.path(self.call(token, level), level)
            if token.text.lower() in _WORDS:
                return self.constant(token, _WORDS[token.text.lower()])
            raise self.error(f"has '{token.text}' without '(': only functions have names", token.start)
        if token.kind == "string":
            self.advance()
            return self.constant(token, token.text[1:-1].replace("''", "'"))
        if token.kind == "number":
            self.advance()
            return self.constant(token, self.number(token))
        raise self.unexpected("a value or a function")

    def constant(self, token: _Token, value: str | int | float | bool | None) -> Constant:
        if self.token.kind == "mark" and self.token.text in (".", "?.", "[", "?["):
            raise self.error("uses an accessor on a literal: accessors follow a function call", self.token.start)
        return Constant(value, token.start, token.end)

    def call(self, name: _Token, level: int) -> Call:
        self.advance()
        arguments: list[Node] = []
        if not self.at(")"):
            arguments.append(self.node(level + 1))
            while self.at(","):
                self.advance()
                arguments.append(self.node(level + 1))
            if not self.at(")"):
                raise self.unexpected("',' or ')'")
        end = self.token.end
        self.advance()
        return Call(name.text, tuple(arguments), name.start, end)

    def path(self, call: Call, level: int) -> Node:
        steps: list[Step] = []
        while self.token.kind == "mark" and self.token.text in (".", "?.", "[", "?["):
            steps.append(self.step(level))
        return Path(call, tuple(steps), call.start, steps[-1].end) if steps else call

    def step(self, level: int) -> Step:
        mark = self.token
        self.advance()
        if mark.text.endswith("."):
            self.nodes += 1
            name = self.token
            if name.kind != "name":
                raise self.unexpected("a property name")
            self.advance()
            return Step(Constant(name.text, name.start, name.end), mark.text[0] == "?", mark.start, name.end)
        key = self.node(level + 1)
        if not self.at("]"):
            raise self.unexpected("']'")
        end = self.token.end
        self.advance()
        return Step(key, mark.text[0] == "?", mark.start, end)

    def number(self, token: _Token) -> int | float:
        digits = token.text
        if digits.lstrip("+-").isdigit():
            value = int(digits) if len(digits.lstrip("+-0")) <= 19 else INTEGER_MAXIMUM + 1
            if INTEGER_MINIMUM <= value <= INTEGER_MAXIMUM:
                return value
            raise self.error(f"has the integer {_clipped(digits, 30)} that does not fit in 64 bits", token.start)
        real = float(digits)
        if real in (float("inf"), float("-inf")):
            raise self.error(f"has the number {_clipped(digits, 30)} that is too large", token.start)
        return real

    def at(self, mark: str) -> bool:
        return self.token.kind == "mark" and self.token.text == mark

    def unexpected(self, wanted: str) -> ExpressionError:
        token = self.token
        found = "the end" if token.kind == "end" else f"'{_clipped(token.text, 30)}'"
        cure = None if token.kind in ("end", "string") else _CURES.get(token.text[0])
        return self.error(f"expects {wanted} and finds {found}", token.start, cure)

    def error(self, problem: str, position: int, cure: str | None = None) -> ExpressionError:
        text = _clipped(self.text[self.begin :], 200)
        message = f"The expression '{text}' {problem} at position {position}."
        return ExpressionError(message, text=self.text, position=position, cure=cure)


def _clipped(text: str, size: int) -> str:
    return text if len(text) <= size else text[:size] + "..."
