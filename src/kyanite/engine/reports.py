"""What the runtime tells the engine: how the things it asked for went on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """An attempt ended: `Succeeded`, `Failed` or `Cancelled` (it obeyed a stop)."""

    path: str
    attempt: int
    status: str
    output: Any = None
    error: Mapping[str, Any] | None = None
    retriable: bool = True


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """An attempt goes on; `output` is its output so far."""

    path: str
    attempt: int
    output: Any


@dataclass(frozen=True, slots=True)
class RecoveryReport:
    """An attempt whose process died goes on in the reporting one."""

    path: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ChildReport:
    """A child run ended."""

    path: str
    run_id: str
    status: str
    message: str = ""
    return_value: Mapping[str, Any] | None = None


Report = AttemptReport | ProgressReport | RecoveryReport | ChildReport
