"""The pytest plugin: fixtures, the story of the runs of a failed test, branch coverage of pipelines.

Used as `pytest_plugins = ["kyanite.testing.plugin"]` in the outermost conftest.py, or `-p kyanite.testing.plugin`.
PYTEST_DONT_REWRITE: it asserts nothing, and may have been imported before.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kyanite.testing.branches import BranchCoverage
    from kyanite.testing.factory import FactoryUnderTest
    from kyanite.testing.pipeline_run import PipelineRun

RUNS: pytest.StashKey[list[tuple[FactoryUnderTest, PipelineRun]]] = pytest.StashKey()
COVERAGE: pytest.StashKey[BranchCoverage] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of branch coverage."""
    group = parser.getgroup("kyanite", "Data Factory pipelines")
    group.addoption(
        "--kyanite-coverage",
        action="store_true",
        help="Report the dependency conditions, If branches and Switch cases of pipelines that no test took.",
    )
    group.addoption(
        "--kyanite-coverage-fail-under",
        type=float,
        metavar="PERCENT",
        help="Fail the session when fewer of them were taken; implies --kyanite-coverage.",
    )


def _least(config: pytest.Config) -> float | None:
    value = config.getoption("kyanite_coverage_fail_under", default=None)
    return float(value) if value is not None else None


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count when coverage is asked for."""
    if config.getoption("kyanite_coverage", default=False) or _least(config) is not None:
        from kyanite.testing.branches import BranchCoverage
        from kyanite.testing.factory import LOADED

        coverage = config.stash[COVERAGE] = BranchCoverage()
        LOADED.append(coverage.loaded)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop counting."""
    if COVERAGE in config.stash:
        from kyanite.testing.factory import LOADED

        LOADED.remove(config.stash[COVERAGE].loaded)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember the runs that a test makes."""
    from kyanite.testing.factory import STARTED

    runs: list[tuple[FactoryUnderTest, PipelineRun]] = []
    item.stash[RUNS] = runs

    def remember(factory: FactoryUnderTest, run: PipelineRun) -> None:
        runs.append((factory, run))

    STARTED.append(remember)
    try:
        return (yield)
    finally:
        STARTED.remove(remember)
        if COVERAGE in item.config.stash:
            for factory, run in runs:
                item.config.stash[COVERAGE].ended(factory, run)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the story of a failed test's runs below its traceback."""
    report = yield
    if report.when == "call" and report.failed:
        for _, run in item.stash.get(RUNS, []):
            report.sections.append((f"run of {run.pipeline}", run.story()))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session when too few branches were taken."""
    least = _least(session.config)
    if least is not None and session.config.stash[COVERAGE].percent < least and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the report of branch coverage."""
    if COVERAGE not in config.stash:
        return
    coverage, least = config.stash[COVERAGE], _least(config)
    terminalreporter.section("pipeline branches")
    for line in coverage.report():
        terminalreporter.write_line(line)
    if least is not None and coverage.percent < least:
        terminalreporter.write_line(f"FAILED: at least {least:g} % are asked for", red=True)


@pytest.fixture
def load_factory(request: pytest.FixtureRequest) -> Callable[..., FactoryUnderTest]:
    """`kyanite.testing.load_factory`; a relative path counts from the test's folder, else from pytest's root."""
    from kyanite.testing.factory import load_factory

    def load(source: str | Path | Mapping[str, Any], **options: Any) -> FactoryUnderTest:
        if isinstance(source, str | Path):
            places = (request.path.parent / source, request.config.rootpath / source)
            source = next((place for place in places if place.exists()), Path(source))
        return load_factory(source, **options)

    return load
