"""Every case of the conformance file; `expressions_known_failing.txt` lists the ids that may fail, and only shrinks."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kyanite.errors import ExpressionError
from kyanite.expressions import MISSING, Scope, evaluate

FIXTURES = Path(__file__).parents[2] / "fixtures" / "conformance"
CASES = [json.loads(line) for line in (FIXTURES / "expressions.jsonl").read_text("utf-8").splitlines()]
KNOWN_FAILING = dict(
    line.split(maxsplit=1)
    for line in (FIXTURES / "expressions_known_failing.txt").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
)
TYPES = {"String": str, "Int": int, "Float": float, "Bool": bool, "Array": list, "Object": dict, "Null": type(None)}


def scope_of(context):
    activities = {
        name: {"Status": result.get("status", "Succeeded"), **{k: v for k, v in result.items() if k != "status"}}
        for name, result in context.get("activities", {}).items()
    }
    scope = {
        "parameters": context.get("parameters", {}),
        "global_parameters": context.get("globalParameters", {}),
        "variables": context.get("variables", {}),
        "activities": activities,
        "pipeline": context.get("pipeline", {}),
        "item": context.get("item", MISSING),
        "dataset": context.get("dataset"),
        "linked_service": context.get("linkedService"),
        "trigger": context.get("trigger", MISSING),
        "trigger_body": context.get("triggerBody", MISSING),
    }
    if "now" in context:
        moment = datetime.fromisoformat(context["now"].replace("Z", "+00:00")).astimezone(UTC)
        scope["now"] = lambda: moment
    return Scope(**scope)


def failure_of(case):
    """Why a case fails, or None when it passes."""
    try:
        result = evaluate(case["expression"], scope_of(case.get("context", {})))
    except ExpressionError as problem:
        return None if case.get("error") else f"unexpected error: {problem}"
    if case.get("error"):
        return f"no error but {result!r}"
    if "matches" in case:
        return None if isinstance(result, str) and re.search(case["matches"], result) else f"{result!r} does not match"
    if "one_of" in case:
        return None if result in case["one_of"] else f"{result!r} is none of {case['one_of']}"
    if type(result) is not TYPES[case["type"]] or json.dumps(result, sort_keys=True) != json.dumps(
        case["result"], sort_keys=True
    ):
        return f"{result!r} instead of {case['result']!r}"
    return None


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_conformance(case):
    failure = failure_of(case)
    if case["id"] in KNOWN_FAILING:
        assert failure is not None, "passes now: take its line out of expressions_known_failing.txt"
    else:
        assert failure is None, f"{case['expression']!r}: {failure}"


def test_known_failing_names_real_cases():
    assert set(KNOWN_FAILING) <= {case["id"] for case in CASES}
