"""A workspace with a storage account for the tests of storage clients, and the programs that use it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kyanite.runtime.workspace import open_workspace
from kyanite.server.gateway import ensure_gateway
from server_kit import live_server

ROOT = Path(__file__).resolve().parents[2]
FLOWS = Path(__file__).parent / "storage_flows.py"
ACCOUNT = "acct"


@dataclass(frozen=True)
class Endpoint:
    """A storage account somewhere; `url` is empty when it is reached by its Azure names, with `environment`."""

    account: str
    key: str
    url: str
    environment: dict[str, str]

    def run(self, *command: str | Path, seconds: float = 120) -> str:
        """A program that uses the account; its standard output."""
        given = {"STORAGE_ACCOUNT": self.account, "STORAGE_KEY": self.key, "STORAGE_URL": self.url}
        done = subprocess.run(
            [str(each) for each in command],
            env={**os.environ, **self.environment, **given},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def flows(self, *clients: str) -> dict[str, Any]:
        """What each client's steps came to: client -> {"version", "steps"}."""
        told: dict[str, Any] = json.loads(self.run(sys.executable, FLOWS, *clients))
        return told


@contextlib.contextmanager
def path_style(home: Path, *, hierarchical: bool = True) -> Iterator[Endpoint]:
    """http://127.0.0.1:PORT/ACCOUNT."""
    workspace = open_workspace(home, create=True)
    account = workspace.accounts.create(ACCOUNT, hierarchical=hierarchical)
    try:
        with live_server(workspace) as server:
            yield Endpoint(ACCOUNT, account.keys[0], server.http_url, {})
    finally:
        workspace.close()


@contextlib.contextmanager
def host_style(home: Path) -> Iterator[Endpoint]:
    """https://ACCOUNT.blob.core.windows.net through the workspace's gateway."""
    workspace = open_workspace(home, create=True)
    account = workspace.accounts.create(ACCOUNT)
    try:
        gateway = ensure_gateway(workspace)
        try:
            yield Endpoint(ACCOUNT, account.keys[0], "", gateway.environment(network=False))
        finally:
            gateway.close()
    finally:
        workspace.close()
