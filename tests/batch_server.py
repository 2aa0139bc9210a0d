"""A server with a Batch account, storage and a working scheduler, for the tests with official clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from kyanite.errors import KyaniteError
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.batch.routing import find_route
from kyanite.server.context import ServerContext
from server_kit import LiveServer, live_server

ACCOUNT = "mybatch"
STORAGE = "mystore"


@dataclass
class BatchServer:
    """`answered` has (operation, status) of all that was asked; `storage_url` is the address tasks know."""

    live: LiveServer
    workspace: Workspace
    key: str
    answered: set[tuple[str, int]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.live.http_url}/batch/{ACCOUNT}"

    @property
    def storage_url(self) -> str:
        return f"https://{STORAGE}.blob.core.windows.net"

    def note(self, request, response) -> None:
        try:
            self.answered.add((find_route(request.method, request.rest).operation.name, response.status))
        except KyaniteError:
            return


@contextmanager
def batch_server(home: Path, *, tls: bool = False) -> Iterator[BatchServer]:
    with open_workspace(home, create=True) as workspace:
        workspace.batch.create_account(ACCOUNT)
        storage = workspace.accounts.create(STORAGE)
        for container in ("input", "output"):
            storage.create_container(container)
        with storage.open_write("input", "data/words.txt") as out:
            out.write(b"one two three\n")
            out.commit()
        context = ServerContext(workspace)
        workspace.batch.run_in_background()
        with live_server(workspace, tls=tls, context=context) as live:
            server = BatchServer(live, workspace, workspace.batch.keys(ACCOUNT)["primary"])
            context.observers.append(server.note)
            yield server


def wait_until(done: Callable[[], object], seconds: float = 30) -> None:
    """Until something is so; AssertionError when it is not in time."""
    end = monotonic() + seconds
    while not done():
        assert monotonic() < end, "it took too long"
        sleep(0.02)
