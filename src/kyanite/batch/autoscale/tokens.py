"""Formula text -> tokens, each with the place where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kyanite import limits
from kyanite.errors import BatchError

SYNTAX_ERROR = "AutoScalingFormulaSyntaxError"
EVALUATION_ERROR = "AutoScalingFormulaEvaluationError"

_TOKEN = re.compile(
    r"(?:\s|//[^\r\n]*+)*+(?:"
    r"(?P<name>\$?[A-Za-z_][A-Za-z0-9_]*+)"
    r"|(?P<number>(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?)"
    r'|(?P<string>"[^"\r\n]*+")'
    r"|(?P<mark><=|>=|==|!=|&&|\|\||[-+*/<>=!?:;,.()\[\]])"
    r"|(?P<end>\Z)"
    r"|(?P<bad>.)"
    r")",
    re.DOTALL,
)
_CURES = {
    "'": 'Strings take double quotes: "...".',
    '"': "The string has no closing quote on its line.",
    "%": "There is no remainder operator.",
    "&": "Use && for and.",
    "|": "Use || for or.",
    "{": "There are no blocks: statements end with a semicolon.",
    "$": "A name follows the $ sign.",
}


class FormulaError(BatchError):
    """A formula that cannot be read or evaluated; `position` is the 0-based offset in `text`, `code` the service's.

    `detail` is the reason alone, without line and column.
    """

    def __init__(
        self, detail: str, text: str, position: int, *, code: str = SYNTAX_ERROR, cure: str | None = None
    ) -> None:
        self.text = text
        self.position = position
        self.detail = detail
        super().__init__(f"{place(text, position)}: {detail}", code=code, cure=cure)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is name, number, string, mark or end."""

    kind: str
    text: str
    start: int


def place(text: str, position: int) -> str:
    """`Line 3, Col 14`, counted from 1 as the service does."""
    before = text[:position]
    return f"Line {before.count(chr(10)) + 1}, Col {position - (before.rfind(chr(10)) + 1) + 1}"


def tokens(text: str) -> list[Token]:
    """All tokens, the last one of kind end; comments and blanks are left out."""
    if len(text.encode("utf-8", "surrogatepass")) > limits.AUTOSCALE_FORMULA_BYTES:
        raise FormulaError(
            f"The formula is longer than {limits.AUTOSCALE_FORMULA_BYTES:,} bytes.",
            text,
            limits.AUTOSCALE_FORMULA_BYTES,
            code="AutoScaleFormulaTooLong",
        )
    found: list[Token] = []
    position = 0
    while not found or found[-1].kind != "end":
        match = _TOKEN.match(text, position)
        kind = match.lastgroup if match else None
        if match is None or kind is None or kind == "bad":
            start = match.start("bad") if match else position
            raise FormulaError(f"'{text[start]}' is not expected here.", text, start, cure=_CURES.get(text[start]))
        found.append(Token(kind, match[kind], match.start(kind)))
        position = match.end()
    return found
