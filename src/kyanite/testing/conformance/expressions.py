"""Cases of the expression language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kyanite.errors import ExpressionError, UserError
from kyanite.expressions import MISSING
from kyanite.testing.conformance import Failure, same, shown
from kyanite.testing.evaluating import evaluate

Json = Any
TYPES: dict[str, type] = {
    "Array": list,
    "Bool": bool,
    "Float": float,
    "Int": int,
    "Null": type(None),
    "Object": dict,
    "String": str,
}


def title_of(case: Mapping[str, Json]) -> str:
    """Group and expression."""
    return f"{case.get('group', '')} {shown(case.get('expression'))}".strip()


def failure_of(case: Mapping[str, Json]) -> Failure | None:
    """Evaluate the expression and compare."""
    try:
        got = evaluate(case["expression"], **_scope(case.get("context") or {}))
    except (ExpressionError, UserError) as error:
        return None if case.get("error") else Failure(_wanted(case), f"error: {error}")
    return None if _fits(case, got) else Failure(_wanted(case), f"{_type(got)} {shown(got)}")


def _scope(context: Mapping[str, Json]) -> dict[str, Json]:
    scope = {
        "parameters": context.get("parameters"),
        "global_parameters": context.get("globalParameters"),
        "variables": context.get("variables"),
        "activities": context.get("activities"),
        "pipeline": context.get("pipeline"),
        "item": context.get("item", MISSING),
        "dataset": context.get("dataset"),
        "linked_service": context.get("linkedService"),
        "trigger": context.get("trigger", MISSING),
        "trigger_body": context.get("triggerBody", MISSING),
    }
    if context.get("now"):
        scope["now"] = context["now"]
    return scope


def _fits(case: Mapping[str, Json], got: Json) -> bool:
    if case.get("error"):
        return False
    if "matches" in case:
        return isinstance(got, str) and re.search(case["matches"], got) is not None
    if "one_of" in case:
        return any(same(wanted, got) and type(wanted) is type(got) for wanted in case["one_of"])
    wanted = case["result"]
    return type(got) is TYPES.get(str(case.get("type")), type(wanted)) and same(wanted, got)


def _wanted(case: Mapping[str, Json]) -> str:
    if case.get("error"):
        return "an error"
    if "matches" in case:
        return f"a String that matches {case['matches']}"
    if "one_of" in case:
        return f"one of {shown(case['one_of'])}"
    return f"{case.get('type') or _type(case['result'])} {shown(case['result'])}"


def _type(value: Json) -> str:
    return next((name for name, kind in TYPES.items() if type(value) is kind), type(value).__name__)
