"""The page about testing pipelines is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def test_the_code_of_the_page_passes(pytester: pytest.Pytester, repository: Path) -> None:
    page = (repository / "docs" / "how-to" / "test-your-pipelines.md").read_text("utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code = "\n\n".join(text for language, text in blocks if language == "python")
    plugins = next(text for _, text in blocks if text.startswith("pytest_plugins"))
    pytester.makeconftest(plugins)
    page_test = pytester.makepyfile(code)
    (pytester.path / "examples").symlink_to(repository / "examples")
    result = pytester.runpytest_inprocess("--kyanite-coverage", str(page_test))
    result.assert_outcomes(passed=code.count("def test_"))
    shown = next(text for _, text in blocks if text.startswith("airlinefactory/"))
    result.stdout.fnmatch_lines(shown.splitlines())
