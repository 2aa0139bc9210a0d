"""The bracket language of ARM templates: text -> tree with positions. It has nothing in common with `@` expressions.

expression = call { "." name | "[" argument "]" }
argument   = expression | 'text' | integer
call       = name { "." name } "(" [ argument { "," argument } ] ")"
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from kyanite import limits
from kyanite.errors import LimitError, TemplateError

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)|(?P<mark>[()\[\],.]))"""
)


@dataclass(frozen=True)
class Literal:
    """A text or an integer."""

    value: str | int
    position: int


@dataclass(frozen=True)
class Call:
    """A function call."""

    name: str
    arguments: tuple[Node, ...]
    position: int


@dataclass(frozen=True)
class Access:
    """A member (`.name`) or an item (`[key]`) of a value."""

    target: Node
    key: Node
    position: int


Node = Literal | Call | Access


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def is_expression(text: str) -> bool:
    """Whether a template's text is evaluated: it begins with `[`, but not `[[`, and ends with `]`."""
    return len(text) > 2 and text[0] == "[" and text[1] != "[" and text.endswith("]")


def literal_text(text: str) -> str:
    """A text that is no expression as it is meant: a leading `[[` stands for `[`."""
    return text[1:] if text.startswith("[[") else text


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of an expression, brackets included; TemplateError with the position in `text`, counted from 1."""
    if len(text) > limits.EXPRESSION_CHARACTERS:
        raise LimitError(
            f"The expression is longer than {limits.EXPRESSION_CHARACTERS:,} characters.", cure="Use variables."
        )
    parser = _Parser(_tokens(text))
    node = parser.argument(0)
    if not isinstance(node, Call | Access):
        raise failure(node.position, "An expression calls a function.", "Remove the brackets, or write [[.")
    parser.expect("end", "")
    return node


def failure(position: int, message: str, cure: str | None = None) -> TemplateError:
    """A TemplateError for a 0-based position of an expression; the text may hold secrets and is not shown."""
    return TemplateError(message, where=f"position {position + 1}", cure=cure)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    place, end = 1, len(text) - 1
    while text[place:end].strip():
        match = _TOKEN.match(text, place, end)
        if match is None or match.lastgroup is None:
            place += len(text[place:end]) - len(text[place:end].lstrip())
            raise _unreadable(text, place)
        found.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        place = match.end()
    if len(found) > limits.EXPRESSION_NODES:
        raise LimitError(f"The expression has more than {limits.EXPRESSION_NODES:,} parts.", cure="Use variables.")
    return [*found, _Token("end", "]", end)]


def _unreadable(text: str, place: int) -> TemplateError:
    match text[place]:
        case "'":
            return failure(place, "The text has no closing quote.", "Write ' at its end, and '' for a quote.")
        case '"':
            return failure(place, "Double quotes are not allowed here.", "Use single quotes: 'text'.")
        case "@":
            return failure(
                place,
                "A pipeline expression (@...) stands inside a template expression.",
                "Write the @ expression as a text of its own, without the brackets.",
            )
        case other:
            return failure(place, f"The character {other!r} does not belong here.", "Correct the expression.")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def expect(self, kind: str, text: str) -> _Token:
        token = self._next
        if token.kind != kind or (text and token.text != text):
            wanted = repr(text) if text else {"name": "a name", "end": "the end"}[kind]
            seen = {"end": "the end", "text": "a text"}.get(token.kind, repr(token.text))
            raise failure(token.position, f"Expected {wanted}, found {seen}.", "Correct the expression.")
        self._at += 1
        return token

    def _accept(self, mark: str) -> _Token | None:
        token = self._next
        if token.kind != "mark" or token.text != mark:
            return None
        self._at += 1
        return token

    def argument(self, depth: int) -> Node:
        if depth > limits.EXPRESSION_DEPTH:
            raise LimitError(
                f"The expression is nested deeper than {limits.EXPRESSION_DEPTH} levels.", cure="Use variables."
            )
        token = self._next
        if token.kind == "text":
            self._at += 1
            return Literal(token.text[1:-1].replace("''", "'"), token.position)
        if token.kind == "number":
            self._at += 1
            if len(token.text) > 20:
                raise failure(token.position, "The number does not fit 64 bits.", "Write it as a text.")
            return Literal(int(token.text), token.position)
        return self._accessors(self._call(depth), depth)

    def _call(self, depth: int) -> Node:
        first = self.expect("name", "")
        name = first.text
        while self._accept("."):
            name = f"{name}.{self.expect('name', '').text}"
        if not self._accept("("):
            if name.lower() in ("true", "false", "null"):
                raise failure(first.position, f"{name} is written as a call here.", f"Write {name}().")
            raise failure(
                first.position,
                f"{name!r} is not called.",
                f"Write parameters('{name}'), variables('{name}') or {name}().",
            )
        arguments: list[Node] = []
        if not self._accept(")"):
            arguments.append(self.argument(depth + 1))
            while self._accept(","):
                arguments.append(self.argument(depth + 1))
            self.expect("mark", ")")
        return Call(name, tuple(arguments), first.position)

    def _accessors(self, node: Node, depth: int) -> Node:
        steps = 0
        while True:
            steps += 1
            if steps + depth > limits.EXPRESSION_DEPTH:
                raise LimitError(
                    f"The expression has more than {limits.EXPRESSION_DEPTH} steps in a row.", cure="Use variables."
                )
            if self._accept("."):
                name = self.expect("name", "")
                node = Access(node, Literal(name.text, name.position), name.position)
            elif mark := self._accept("["):
                node = Access(node, self.argument(depth + 1), mark.position)
                self.expect("mark", "]")
            else:
                return node
