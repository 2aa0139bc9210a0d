"""What one invocation of the command line shares: options, the open workspace and the way out for every text."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from kyanite.batch.model import Pool
    from kyanite.runtime.workspace import Workspace
    from kyanite.secrets import Vault
    from kyanite.server.gateway import Gateway
    from kyanite.server.runs_here import RunsHere

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def visible(text: str) -> str:
    """The text with control characters spelled out: nothing that comes from a run can steer the terminal."""
    return text.replace("\r\n", "\n").translate(_CONTROL)


class Session:
    """Holds what the global options say and opens the workspace at most once.

    Every text leaves through `echo` or `print_json`, which mask the secrets the workspace knows.
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self.home: Path | None = Path(home) if home is not None else None
        self.as_json = False
        self.color: bool | None = False if os.environ.get("NO_COLOR") else None
        self.running: str | None = None
        self._workspace: Workspace | None = None
        self._gateway: Gateway | None = None
        self._runs: RunsHere | None = None
        self._starting = threading.Lock()
        self._vault: Vault | None = None

    # ---- the workspace

    @property
    def home_path(self) -> Path:
        """The workspace folder: `--home`, else KYANITE_HOME, else `./.kyanite`."""
        return self.home or Path(os.environ.get("KYANITE_HOME") or ".kyanite")

    def workspace(self, *, create: bool = False) -> Workspace:
        """The open workspace; it is opened on first use and closed by `close`."""
        if self._workspace is None:
            from kyanite.runtime.workspace import open_workspace

            self._workspace = open_workspace(self.home_path, create=create)
            self._workspace.task_environment = self._task_environment
        return self._workspace

    def gateway(self) -> Gateway:
        """The way by which programs reach the workspace under Azure's names; we or another process answer there."""
        with self._starting:
            if self._gateway is None:
                from kyanite.server.context import ServerContext
                from kyanite.server.gateway import ensure_gateway
                from kyanite.server.runs_here import RunsHere

                workspace = self.workspace()
                here = self._runs = RunsHere(workspace)
                context = ServerContext(workspace, on_run=here.submit, observers=[here.observe])
                self._gateway = ensure_gateway(workspace, context)
            return self._gateway

    def answer_running_tasks(self) -> None:
        """Take the gateway up for tasks that were told of it by a process that has gone."""
        workspace = self.workspace()
        if (workspace.home / "gateway.json").exists():
            from kyanite.server.gateway import is_counted_on

            if is_counted_on(workspace):
                self.gateway()

    def _task_environment(self, pool: Pool) -> dict[str, str]:
        from kyanite.server.gateway import pool_reach, task_environment

        return {} if pool_reach(pool) is None else task_environment(self.gateway(), pool)

    def close(self) -> None:
        """Close the gateway and the workspace when they were opened."""
        if self._gateway is not None:
            self._gateway.close()  # it still knows what to tell a task that is being launched
        if self._runs is not None:
            self._runs.stop()
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None

    # ---- the way out

    @property
    def vault(self) -> Vault:
        """The workspace's secrets; only the well-known shapes of secrets when there is no workspace."""
        if self._workspace is not None:
            return self._workspace.vault
        if self._vault is None:
            from kyanite.secrets import Vault

            path = self.home_path / "secrets.json"
            self._vault = Vault(path if path.is_file() else None)
        return self._vault

    def mask(self, text: str) -> str:
        """The text as a person may see it."""
        return self.vault.mask(text)

    def echo(self, text: str = "", *, err: bool = False, end: str = "\n") -> None:
        """Print a text, masked; a reader that has gone away is not an error of ours."""
        self.write(self.mask(text) + end, sys.stderr if err else sys.stdout)

    def print_json(self, value: Any) -> None:
        """Print a JSON value, masked, indented by two."""
        text = json.dumps(self.vault.mask_json(value), indent=2, ensure_ascii=False, default=str)
        self.write(text + "\n", sys.stdout)

    def write(self, text: str, stream: TextIO) -> None:
        """Print a text that is masked already."""
        try:
            click.echo(text, file=stream, nl=False, color=self.color)
        except BrokenPipeError:
            silence(stream)

    def is_terminal(self, *, err: bool = False) -> bool:
        """Whether a person watches the stream."""
        return (sys.stderr if err else sys.stdout).isatty()


def silence(stream: TextIO) -> None:
    """Send what is still to come on a stream nowhere: its reader has gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


pass_session = click.make_pass_decorator(Session, ensure=True)
