"""Made-up formulas: the language against Python's own arithmetic, and every text against the limits."""

from __future__ import annotations

import math

from autoscale_world import results, run, samples
from hypothesis import given
from hypothesis import strategies as st

from kyanite.batch.autoscale import AutoscaleRun, FormulaError, parse_formula
from kyanite.batch.autoscale.functions import FUNCTIONS
from kyanite.batch.autoscale.metrics import METHODS, METRICS
from kyanite.batch.autoscale.names import SYSTEM
from kyanite.batch.autoscale.values import INTERVALS, MEMBERS

NUMBERS = st.integers(0, 50).map(str)
ARITHMETIC = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-({})".format),
    ),
    max_leaves=12,
)


@given(ARITHMETIC)
def test_precedence_and_sides_are_those_of_python(text: str) -> None:
    outcome = run(f"x = {text};")
    assert outcome.error is None
    assert float(results(outcome)["x"]) == float(eval(text))


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), st.floats(0, 100))
def test_lists_keep_the_rules_of_their_functions(values: list[float], percent: float) -> None:
    world = samples({"$CPUPercent": values})
    names = ("min", "max", "avg", "sum", "len", "range", "norm")
    formula = "".join(f"{name}_ = {name}($CPUPercent.GetSample(99));" for name in names)
    formula += f"p = percentile($CPUPercent.GetSample(99), {percent:f}); v = val($CPUPercent.GetSample(99), 0);"
    found = {name: float(text) for name, text in results(run(formula, world)).items() if not name.startswith("$")}
    assert (found["min_"], found["max_"], found["len_"]) == (min(values), max(values), len(values))
    assert math.isclose(found["sum_"], math.fsum(values), rel_tol=1e-9, abs_tol=1e-3)
    assert math.isclose(found["avg_"] * len(values), found["sum_"], rel_tol=1e-9, abs_tol=1e-6)
    assert found["min_"] <= found["p"] <= found["max_"]
    assert found["range_"] == found["max_"] - found["min_"]
    assert found["norm_"] >= max(map(abs, values)) * 0.999999
    assert found["v"] == values[0]


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 60), st.integers(0, 100))
def test_windows_give_what_they_count(taken: list[bool], back: int, percent: int) -> None:
    world = samples({"$RunningTasks": [float(index) if one else None for index, one in enumerate(taken)]})
    window = f"{back * 30} * TimeInterval_Second"
    formula = f"p = $RunningTasks.GetSamplePercent({window}); n = len($RunningTasks.GetSample({window}));"
    outcome = results(run(formula, world))
    expected = sum(taken[-back:])
    assert int(outcome["n"]) == expected
    assert math.isclose(float(outcome["p"]), 100 * expected / back)
    demanding = run(f"v = $RunningTasks.GetSample({window}, {percent})", world)
    assert (demanding.error is None) == (float(outcome["p"]) >= percent)


PIECES = [
    *FUNCTIONS,
    *(f".{name}" for name in METHODS),
    *METRICS,
    *SYSTEM,
    *INTERVALS,
    *(f".{name}" for name in MEMBERS),
]
PIECES += [*"()[],;?:+-*/!=<>.$\n ", "==", "!=", "<=", "&&", "||", '"2016-01-01"', "0", "1", "2.5", "1e308", "x", "y"]
PIECES += ["x = ", "$TargetDedicatedNodes = ", "(1)", "time()", "//", '"', "%", "{", "é", "\x00", "9" * 30, "stop()"]


def _check(text: str) -> None:
    """A value or an error that points into the text; nothing else ever comes out."""
    try:
        parsed = parse_formula(text)
    except FormulaError as error:
        assert 0 <= error.position <= len(text)
        assert error.error_code in ("AutoScalingFormulaSyntaxError", "AutoScaleFormulaTooLong")
        return
    outcome = run(parsed.text)
    assert isinstance(outcome, AutoscaleRun)
    assert 0 <= outcome.dedicated <= 1_000_000
    assert outcome.results.startswith("$TargetDedicatedNodes=")
    assert (outcome.error is None) or (outcome.dedicated, outcome.low_priority, outcome.option) == (4, 2, "requeue")


@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_pieces_of_formulas_in_any_order(pieces: list[str]) -> None:
    _check("".join(pieces))


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    _check(text)


VALUES = st.recursive(
    st.one_of(
        NUMBERS, st.sampled_from([*SYSTEM, *INTERVALS, "time()", '"2016-01-01"', '"a"', "[1, 2]", "rand()", "requeue"])
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "<", "==", "&&", "||"]), inner).map(" ".join),
        st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, max_size=3)).map(
            lambda call: f"{call[0]}({', '.join(call[1])})"
        ),
        st.tuples(inner, st.sampled_from(sorted(METHODS)), st.lists(inner, max_size=3)).map(
            lambda call: f"({call[0]}).{call[1]}({', '.join(call[2])})"
        ),
        st.tuples(inner, st.sampled_from(sorted(MEMBERS))).map(lambda pair: f"({pair[0]}).{pair[1]}"),
        inner.map("-{}".format),
        inner.map("[{}]".format),
    ),
    max_leaves=15,
)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_formulas_that_follow_the_grammar(values: list[str]) -> None:
    _check("".join(f"v{index} = {value};\n" for index, value in enumerate(values)) + "$TargetDedicatedNodes = v0;")
