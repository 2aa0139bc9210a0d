"""The pytest plugin in a session of its own: fixture, story of failed tests, branch coverage."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ORDERS = Path(__file__).parents[2] / "fixtures" / "testing" / "orders"
AIRLINE = Path(__file__).parents[3] / "examples" / "airline" / "tests"
HEAD = """
from kyanite.testing import failed
MOCKS = {"Look": {"value": [{"name": "n"}]}, "CopyRegion": None, "Warn": None, "Approve": None, "Push": {"files": 1}}

def load(factory, mode="delta", **mocks):
    return factory.run("Load", parameters={"day": "d"}, mocks={**MOCKS, **mocks}, global_parameters={"mode": mode})
"""


def session(pytester: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    pytester.makeconftest('pytest_plugins = ["kyanite.testing.plugin"]')
    (pytester.path / "orders").symlink_to(ORDERS)
    pytester.makepyfile(HEAD + tests)
    return pytester.runpytest_inprocess("-q", *options)


PASSING = """
def test_load(load_factory):
    load(load_factory("orders")).assert_succeeded()
"""


def test_the_fixture_finds_a_folder_beside_the_test(pytester: pytest.Pytester) -> None:
    result = session(pytester, PASSING)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*pipeline branches*")


def test_a_failed_test_shows_the_story_of_its_runs_and_no_others(pytester: pytest.Pytester) -> None:
    tests = """
def test_good(load_factory):
    load(load_factory("orders"), CopyRegion=failed("E-early"), Apologize=None).assert_failed()

def test_bad(load_factory):
    run = load(load_factory("orders"), CopyRegion=failed("E-late", "no disk"), Apologize=None)
    assert run.variables["done"] == ["n"]
"""
    result = session(pytester, tests)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*run of Load*", "*EachRegion/0/CopyRegion (Copy): Failed after 3 attempts - E-late: no disk"]
    )
    result.stdout.no_fnmatch_line("*E-early*")


def test_coverage_lists_what_no_test_took(pytester: pytest.Pytester) -> None:
    result = session(pytester, PASSING, "--kyanite-coverage")
    result.assert_outcomes(passed=1)
    lines = result.stdout.lines
    report = lines[lines.index("orders/Load: 7 of 11 ways taken") :]
    assert report[:7] == [
        "orders/Load: 7 of 11 ways taken",
        "    missing: Big: true",
        "    missing: Mode: case 'full'",
        "    missing: Mode: default",
        "    missing: EachRegion Failed -> Apologize",
        "orders/Publish: 3 of 3 ways taken",
        "pipeline branches taken: 71 %",
    ]


def test_coverage_of_all_tests_is_complete(pytester: pytest.Pytester) -> None:
    tests = """
import pytest

@pytest.mark.parametrize("mode", ["full", "delta", "none"])
def test_modes(load_factory, mode):
    load(load_factory("orders"), mode)

def test_many(load_factory):
    items = {"value": [{"name": str(n)} for n in range(3)]}
    load(load_factory("orders"), Look=items, CopyRegion=failed(), Apologize=None).assert_ran("Apologize")
"""
    result = session(pytester, tests, "--kyanite-coverage-fail-under=100")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["orders/Publish: 3 of 3 ways taken", "pipeline branches taken: 100 %"])


def test_too_little_coverage_fails_the_session(pytester: pytest.Pytester) -> None:
    result = session(pytester, PASSING, "--kyanite-coverage-fail-under=99")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*FAILED: at least 99 % are asked for*"])


def test_a_pipeline_that_is_never_run_is_missing_as_a_whole(pytester: pytest.Pytester) -> None:
    result = session(pytester, "\ndef test_nothing(load_factory):\n    load_factory('orders')\n", "--kyanite-coverage")
    result.stdout.fnmatch_lines(["orders/Load: 0 of *", "*missing: the pipeline is run", "*taken: 0 %"])


def test_the_airline_example_passes_its_own_tests_and_covers_everything(pytester: pytest.Pytester) -> None:
    options = ("-p", "kyanite.testing.plugin", "--kyanite-coverage-fail-under=100", "-p", "no:cacheprovider")
    result = pytester.runpytest_inprocess(*options, str(AIRLINE))
    result.assert_outcomes(passed=7)
    assert result.ret == 0
