"""One server for a module's tests of the Batch service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch_raw_client import RawClient
from kyanite.runtime.workspace import open_workspace
from server_kit import LiveServer, live_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with open_workspace(tmp_path_factory.mktemp("batch") / "home", create=True) as workspace:
        workspace.batch.create_account("Acct")
        workspace.batch.create_account("other")
        with live_server(workspace) as live:
            yield live


@pytest.fixture
def raw(server: LiveServer) -> Iterator[RawClient]:
    key = server.context.workspace.batch.keys("Acct")["primary"]
    with RawClient(f"{server.http_url}/batch/acct", "Acct", key) as client:
        yield client
