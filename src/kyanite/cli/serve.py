"""`kyanite serve`: triggers fire and runs go on while it runs."""

from __future__ import annotations

import signal
import threading
from datetime import datetime
from types import FrameType

import click

from kyanite.cli.command import command
from kyanite.cli.session import Session, pass_session, visible


@command(
    "serve",
    short_help="Fire triggers and work on runs until it is stopped.",
    examples=[
        ("until Ctrl-C or SIGTERM", "kyanite serve"),
        ("for a minute", "kyanite serve --for 60"),
    ],
)
@click.option("--for", "seconds", type=click.FloatRange(0), metavar="SECONDS", help="Stop after so long.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors.")
@pass_session
def serve(session: Session, seconds: float | None, quiet: bool) -> None:
    """Fire the started triggers of the deployed factories and work on the runs they make.

    Runs whose process has gone are taken up first. One process serves a workspace; it listens to no network address.
    """
    from kyanite.runtime.serve import serve as serve_workspace

    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    def log(text: str) -> None:
        if not quiet:
            session.echo(f"{datetime.now().astimezone():%H:%M:%S} {visible(text)}")

    workspace = session.workspace()
    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        serve_workspace(workspace, stop, seconds=seconds, log=log)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
