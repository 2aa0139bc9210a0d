"""What is wrong in a factory, as data: found while reading or checking, never raised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from kyanite.errors import DefinitionError

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One mistake: `message` says what in one sentence, `cure` what to do; `path` is the JSON path inside `file`.

    An error would fail at run time, a warning would not, or only in the cloud service.
    """

    severity: Severity
    code: str
    file: str
    path: str
    message: str
    cure: str

    @property
    def where(self) -> str:
        """File and JSON path as one text."""
        return f"{self.file}: {self.path}" if self.path else self.file

    def __str__(self) -> str:
        return f"{self.where}: {self.severity}: {self.message} {self.cure}"


def raise_errors(problems: Iterable[Problem]) -> None:
    """Raise one DefinitionError that lists every problem of severity error; nothing happens without one."""
    errors = [problem for problem in problems if problem.severity == "error"]
    if len(errors) == 1:
        raise DefinitionError(errors[0].message, where=errors[0].where, cure=errors[0].cure)
    if errors:
        lines = "\n".join(f"  {problem.where}: {problem.message} {problem.cure}" for problem in errors)
        raise DefinitionError(f"{len(errors)} problems:\n{lines}")


def error(code: str, file: str, path: str, message: str, cure: str) -> Problem:
    """A problem that would fail at run time."""
    return Problem("error", code, file, path, message, cure)


def warning(code: str, file: str, path: str, message: str, cure: str) -> Problem:
    """A problem that lets runs go on."""
    return Problem("warning", code, file, path, message, cure)
