"""The Data Factory expression language: parse, check, evaluate. Pure; clock and randomness come with the scope."""

from kyanite.expressions.check import Reference, find_problems, references
from kyanite.expressions.evaluate import evaluate, evaluate_text
from kyanite.expressions.functions import FUNCTIONS, Function
from kyanite.expressions.scope import MISSING, Json, Missing, Scope
from kyanite.expressions.syntax import Expression, Interpolation, Literal, Template, parse
from kyanite.expressions.trace import Traced, trace, trace_document
from kyanite.expressions.values import kind_of

__all__ = [
    "FUNCTIONS",
    "MISSING",
    "Expression",
    "Function",
    "Interpolation",
    "Json",
    "Literal",
    "Missing",
    "Reference",
    "Scope",
    "Template",
    "Traced",
    "evaluate",
    "evaluate_text",
    "find_problems",
    "kind_of",
    "parse",
    "references",
    "trace",
    "trace_document",
]
