"""How far a split is: a bar on a terminal, a plain line every few seconds elsewhere. Both go to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kyanite.cli.output import count, duration, size
from kyanite.cli.session import Session

if TYPE_CHECKING:
    from kyanite.movement.split_model import SplitProgress

LINE_SECONDS = 2.0
BAR_SECONDS = 0.1

Show = Callable[["SplitProgress"], None]


@contextmanager
def shown(session: Session, *, quiet: bool = False) -> Iterator[Show | None]:
    """The callback for a split's progress; None when quiet."""
    if quiet:
        yield None
    elif session.is_terminal(err=True):
        with _bar(session) as show:
            yield show
    else:
        yield plain_lines(session)


def plain_lines(session: Session, clock: Callable[[], float] = time.monotonic) -> Show:
    """A callback that prints a line at most every two seconds; a short split prints none."""
    began = last = clock()

    def show(now: SplitProgress) -> None:
        nonlocal last
        if clock() - last >= LINE_SECONDS:
            last = clock()
            session.echo(line(now, last - began), err=True)

    return show


def line(now: SplitProgress, seconds: float) -> str:
    """`[4.0 s] 1.2 GB of 3.4 GB (35 %), 300 MB/s, 12 parts, about 7.33 s left`."""
    rate = now.bytes / seconds if seconds > 0 else 0.0
    left = max(0, now.total_bytes - now.bytes)
    share = min(99, now.bytes * 100 // now.total_bytes) if now.total_bytes else 0
    text = f"[{duration(seconds)}] {size(now.bytes)} of {size(now.total_bytes)} ({share} %), {size(rate)}/s"
    text += f", {count(now.parts)} parts"
    return f"{text}, about {duration(left / rate)} left" if rate else text


@contextmanager
def _bar(session: Session) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(file=sys.stderr, no_color=session.color is False, highlight=False)
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[parts]} parts"),
    )
    # without a thread of its own, so that the process can be copied
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("split", total=None, parts=0)
        last = time.monotonic()

        def show(now: SplitProgress) -> None:
            nonlocal last
            bar.update(task, total=max(now.total_bytes, now.bytes), completed=now.bytes, parts=count(now.parts))
            if time.monotonic() - last >= BAR_SECONDS:
                last = time.monotonic()
                bar.refresh()

        yield show
