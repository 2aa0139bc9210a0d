"""A workspace with the tutorial's accounts over TLS: runs are worked on, triggers fire, a minute is a second."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kyanite.batch.model import PoolSpec
from kyanite.runtime.scheduler import Scheduler
from kyanite.runtime.serve import RunPool
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import Workspace, open_workspace
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.tokens import admin_key
from server_kit import live_server

FASTER = 60
ROWS = 1_000


@dataclass(frozen=True)
class DataFactoryServer:
    """Where the clients find it; `answered` are (method, path, status) of all requests so far."""

    url: str
    ca_file: Path
    token: str
    storage_key: str
    batch_key: str
    workspace: Workspace
    answered: list[tuple[str, str, int]]


@contextmanager
def datafactory_server(home: Path, *, faster: int = FASTER) -> Iterator[DataFactoryServer]:
    """Serve the tutorial's workspace for the length of a `with`; its clock runs `faster` than ours."""
    with open_workspace(home, create=True) as workspace:
        _make_accounts(workspace)
        began = datetime.now(UTC)
        context = ServerContext(workspace, clock=lambda: began + (datetime.now(UTC) - began) * faster)
        answered: list[tuple[str, str, int]] = []

        def observe(request: Request, response: Response) -> None:
            answered.append((request.method, request.raw_path, response.status))

        context.observers.append(observe)
        pool = RunPool(workspace, make_worker=lambda: Worker(workspace))
        context.on_run = pool.submit
        stop = threading.Event()
        scheduler = threading.Thread(target=_fire, args=(workspace, context, pool, stop))
        with live_server(workspace, tls=True, context=context) as server:
            assert server.ca_file is not None
            scheduler.start()
            try:
                yield DataFactoryServer(
                    server.https_url,
                    server.ca_file,
                    admin_key(workspace.vault),
                    workspace.vault.get_or_create("storage/mystore/key1"),
                    workspace.vault.get_or_create("batch/mybatch/primary"),
                    workspace,
                    answered,
                )
            finally:
                stop.set()
                scheduler.join()
                pool.stop()
                _wait_until_idle(pool)


def _make_accounts(workspace: Workspace) -> None:
    account = workspace.accounts.create("mystore")
    for container in ("filestorage", "output"):
        account.create_container(container)
    for number in range(2):
        table = pa.table({"id": pa.array(range(number * ROWS, (number + 1) * ROWS))})
        out = io.BytesIO()
        pq.write_table(table, out)
        with account.open_write("filestorage", f"input/part{number}.parq") as writer:
            writer.write(out.getvalue())
            writer.commit()
    with account.open_write("filestorage", "program/count.sh") as writer:
        writer.write(b"echo counted; echo '{\"parts\": 2}' > outputs.json\n")
        writer.commit()
    workspace.batch.create_account("mybatch")
    workspace.batch.create_pool("mybatch", PoolSpec("mypool", target_nodes=1))
    workspace.batch.prepare_pool("mybatch", "mypool", lambda text: None)


def _fire(workspace: Workspace, context: ServerContext, pool: RunPool, stop: threading.Event) -> None:
    scheduler = Scheduler(workspace, clock=context.clock, on_run=pool.submit)
    while not stop.wait(0.1):
        scheduler.look()


def _wait_until_idle(pool: RunPool) -> None:
    end = time.monotonic() + timedelta(seconds=20).total_seconds()
    while pool.busy() and time.monotonic() < end:
        time.sleep(0.05)
