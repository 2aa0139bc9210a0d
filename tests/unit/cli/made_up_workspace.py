"""A session on a workspace in memory: enough for commands, without files, pools or a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kyanite.cli.session import Session
from kyanite.runs.memory import MemoryRunStore
from kyanite.runs.store import RunHeader
from kyanite.secrets import Vault

SECRET = "S3cret+Value/with=odd&chars"


@dataclass
class FakeWorkspace:
    """What the commands look at of a workspace; runs are made of events."""

    home: Path
    vault: Vault = field(default_factory=Vault)
    closed: bool = False

    def __post_init__(self) -> None:
        self.store = MemoryRunStore(self.vault)

    def close(self) -> None:
        self.closed = True

    def factories(self) -> list[str]:
        return []

    def add_run(self, run_id: str, *events: Mapping[str, Any], pipeline: str = "Load", parent: str = "") -> None:
        """Keep a run whose log is `RunQueued` and these events."""
        header = RunHeader(factory="f", pipeline=pipeline, parent_run_id=parent or None)
        queued = {"kind": "RunQueued", "at": moment(0), "factory": "f", "pipeline": pipeline}
        self.store.create(run_id, header, [queued, *events])


def moment(second: float) -> str:
    """A time of the log, seconds after six o'clock."""
    return f"2026-01-31T06:00:{second:09.6f}Z"


def event(kind: str, second: float, **body: Any) -> dict[str, Any]:
    """An event of a run's log."""
    return {"kind": kind, "at": moment(second), **body}


def copy_run(rows: int = 1_108_710, status: str = "Succeeded") -> Sequence[dict[str, Any]]:
    """The log of a run with one Copy activity."""
    output = {
        "filesRead": 4, "filesWritten": 1, "rowsRead": rows, "rowsCopied": rows, "rowsSkipped": 0,
        "dataRead": 24_079_676, "dataWritten": 24_070_000, "copyDuration": 2, "throughput": 11_757.5, "errors": [],
    }  # fmt: skip
    error = {"errorCode": "2200", "message": "The file is corrupt.", "failureType": "UserError", "target": "CopyFile"}
    failed = status != "Succeeded"
    return [
        event("RunStarted", 1),
        event("ActivityStarted", 1, path="CopyFile", type="Copy", activityRunId="a1", input={}),
        event(
            "ActivityEnded", 3.5, path="CopyFile", type="Copy", status=status,
            output=None if failed else output, error=error if failed else None,
        ),
        event("RunEnded", 3.6, status=status, message="Operation on target CopyFile failed: ..." if failed else ""),
    ]  # fmt: skip


class FakeSession(Session):
    """A session that has its workspace open already."""

    def __init__(self, workspace: FakeWorkspace) -> None:
        super().__init__(workspace.home)
        self.fake = workspace

    @property
    def vault(self) -> Vault:
        return self.fake.vault

    def workspace(self, *, create: bool = False) -> Any:
        return self.fake

    def close(self) -> None:
        self.fake.close()


@dataclass(frozen=True)
class Result:
    """How a command line ended and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]
