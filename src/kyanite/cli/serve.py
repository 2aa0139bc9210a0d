"""`kyanite serve`: Azure's protocols on loopback ports, triggers that fire, runs and tasks that go on."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import click

from kyanite.cli.command import command
from kyanite.cli.session import Session, pass_session, visible

if TYPE_CHECKING:
    from kyanite.server.serving import Addresses

_LOG = logging.getLogger("kyanite.serve")
_PORT = click.IntRange(0, 65535)


@command(
    "serve",
    short_help="Answer Azure's clients, fire triggers and work on runs until it is stopped.",
    examples=[
        ("until Ctrl-C or SIGTERM", "kyanite serve"),
        (
            "on ports of your own (0: any free one), with logs for a program",
            "kyanite serve --port 8080 --log-format json",
        ),
        ("with a git folder as one of its factories", "kyanite serve --factory ./factory"),
        ("for a minute", "kyanite serve --for 60"),
    ],
)
@click.option("--port", type=_PORT, help="The http port.  [default: 10010, or a free one]")
@click.option("--https-port", type=_PORT, help="The https port.  [default: 10011, or a free one]")
@click.option(
    "--factory",
    "folders",
    metavar="DIR",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A git folder that is a factory of the workspace from now on: changes are read from there and written there.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to write the log."
)
@click.option("--log-requests", is_flag=True, help="Log each request.")
@click.option("--for", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="Stop after so long.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but warnings and errors.")
@pass_session
def serve(
    session: Session,
    port: int | None,
    https_port: int | None,
    folders: tuple[Path, ...],
    log_format: Literal["text", "json"],
    log_requests: bool,
    seconds: float | None,
    quiet: bool,
) -> None:
    """Serve the workspace: Blob, Data Lake, Batch, Data Factory and Resource Manager as Azure's clients speak them.

    Started triggers fire; runs and tasks whose process has gone are taken up first. It listens to loopback addresses
    only, and one process serves a workspace. `kyanite exec` and `kyanite env` lead programs here.
    """
    from kyanite.runtime.serve import serve as serve_workspace
    from kyanite.server.logs import logging_to, tell_request
    from kyanite.server.serving import listening

    workspace = session.workspace()
    with (
        _until_signalled() as stop,
        logging_to(
            lambda line: session.echo(visible(line)), log_format, logging.WARNING if quiet else logging.INFO, _leave
        ),
    ):
        for folder in folders:
            from kyanite.runtime.factory_folder import link_factory

            _LOG.info("factory %s is %s", link_factory(workspace, folder), folder)
        serve_workspace(
            workspace,
            stop,
            seconds=seconds,
            log=lambda text: _LOG.info("%s", text),
            around=partial(
                listening,
                workspace,
                http_port=port,
                https_port=https_port,
                observers=[tell_request] if log_requests else [],
                told=_tell,
            ),
        )


def _leave() -> None:
    """End the process, all else being done: Python's own end would wait for who does not read what we say."""
    os._exit(1 if sys.exc_info()[0] else 0)


def _tell(addresses: Addresses) -> None:
    for name, address in (("http", addresses.http), ("https", addresses.https), ("proxy", addresses.proxy)):
        _LOG.info("%-5s %s", name, address, extra={"fields": {"listener": name, "address": address}})
    _LOG.info("the owner's key is in %s, the certificate authority in %s", addresses.token_file, addresses.ca_file)


@contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
