"""What a run does, shown while it happens: plain lines for pipes and logs, a live table on a terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kyanite.cli.details import error_text, one_line
from kyanite.cli.output import duration, status
from kyanite.cli.session import Session, visible

if TYPE_CHECKING:
    from rich.table import Table

    from kyanite.runs.store import StoredEvent

PROGRESS_SECONDS = 2.0  # between two plain progress lines of one activity
PAST_EVENTS = 10_000  # a resumed run with more is shown from here on only
ROWS_SHOWN = 30  # of a live table; finished rows above it are counted only

OnEvent = Callable[[str, "StoredEvent"], None]


@dataclass(frozen=True)
class Row:
    """One activity as the screen shows it."""

    path: str
    type: str
    status: str
    started: datetime
    ended: datetime | None = None
    attempt: int = 0
    detail: str = ""
    secure: bool = False

    def seconds(self, now: datetime) -> float:
        """How long it has run so far, or took."""
        return max(0.0, ((self.ended or now) - self.started).total_seconds())


class RunProgress:
    """Folds a run's events into rows, one per activity; child runs are shown under their pipeline's name.

    `history` gives a run's events: a run that is met in the middle (resumed, or a child) is made up for.
    """

    def __init__(self, run_id: str, history: Callable[[str], Iterable[StoredEvent]] = lambda run_id: ()) -> None:
        self.run_id = run_id
        self.rows: dict[tuple[str, str], Row] = {}
        self.names: dict[str, str] = {}
        self._history = history
        self._met: set[str] = set()

    def take(self, run_id: str, event: StoredEvent) -> Row | None:
        """Take the next event of a run in; the row it changed, or None."""
        if run_id not in self._met:
            self._met.add(run_id)
            if 1 < event.seq <= PAST_EVENTS:
                for past in self._history(run_id):
                    if past.seq < event.seq:
                        self.fold(run_id, past.kind, _moment(past.at), past.body)
        return self.fold(run_id, event.kind, _moment(event.at), event.body)

    def fold(self, run_id: str, kind: str, at: datetime, body: Mapping[str, Any]) -> Row | None:
        """Take one event in; the row it changed, or None."""
        if kind == "RunQueued":
            self.names[run_id] = str(body.get("pipeline", run_id))
            return None
        key = (run_id, str(body.get("path")))
        if kind == "ActivityStarted":
            secure = bool(body.get("secureOutput"))
            row = Row(
                self._title(*key), str(body["type"]), "InProgress", at, attempt=body.get("attempt", 0), secure=secure
            )
        elif kind in ("ActivitySkipped", "ActivityInactive"):
            row = Row(self._title(*key), str(body["type"]), kind.removeprefix("Activity"), at, ended=at)
        elif kind == "ActivityReused":
            detail = f"reused from run {str(body['fromRun'])[:8]}"
            row = Row(self._title(*key), str(body["type"]), str(body["status"]), at, ended=at, detail=detail)
        elif kind in ("ActivityProgress", "ActivityRecovered", "StopRequested") and key in self.rows:
            row = replace(self.rows[key], detail=_running_detail(self.rows[key], kind, body))
        elif kind in ("ActivityEnded", "AttemptFailed"):
            row = self._ended(key, kind, at, body)
        else:
            return None
        self.rows[key] = row
        return row

    def _ended(self, key: tuple[str, str], kind: str, at: datetime, body: Mapping[str, Any]) -> Row:
        # whether an output may be shown is told by the start; where that was not seen it stays hidden
        row = self.rows.get(key) or Row(self._title(*key), str(body.get("type", "")), "", at, secure=True)
        detail = error_text(body.get("error")) or ("" if row.secure else one_line(row.type, body.get("output")))
        if kind == "AttemptFailed":
            detail = f"{detail} (another attempt follows)"
        return replace(row, status=str(body["status"]), ended=at, detail=detail)

    def _title(self, run_id: str, path: str) -> str:
        return path if run_id == self.run_id else f"{self.names.get(run_id, 'child')}: {path}"


def _running_detail(row: Row, kind: str, body: Mapping[str, Any]) -> str:
    if kind == "ActivityRecovered":
        return "taken over from a process that died"
    if kind == "StopRequested":
        return f"stopping ({body.get('reason')})"
    return row.detail if row.secure else one_line(row.type, body.get("output")) or row.detail


@contextmanager
def shown(session: Session, run_id: str, *, quiet: bool = False) -> Iterator[OnEvent | None]:
    """Show a run while it happens: gives the callback for its events (None when quiet).

    Lines go to stdout, with --json to stderr.
    """
    err = session.as_json
    if quiet:
        yield None
    elif session.is_terminal(err=err):
        with _live(session, run_id, err) as on_event:
            yield on_event
    else:
        yield plain_lines(session, run_id, err=err)


def _of_run(session: Session, run_id: str) -> RunProgress:
    return RunProgress(run_id, lambda met: session.workspace().store.history(met))


def plain_lines(session: Session, run_id: str, *, err: bool = False) -> OnEvent:
    """A callback that prints one line per change, at most one progress line per activity in two seconds."""
    progress = _of_run(session, run_id)
    began = time.monotonic()
    last: dict[str, float] = {}
    lock = threading.Lock()

    def on_event(event_run: str, event: StoredEvent) -> None:
        with lock:
            row = progress.take(event_run, event)
            now = time.monotonic()
            if row is None:
                return
            if event.kind == "ActivityProgress":
                if not row.detail or now - last.get(row.path, began) < PROGRESS_SECONDS:
                    return
                last[row.path] = now
            session.echo(f"[{now - began:6.1f} s] {plain_line(row, _moment(event.at))}", err=err)

    return on_event


def plain_line(row: Row, now: datetime) -> str:
    """One row as one line."""
    words = [visible(row.path), f"({row.type})", "started" if row.status == "InProgress" else status(row.status)]
    if row.status == "InProgress" and row.attempt:
        words.append(f"(retry {row.attempt})")
    if row.status == "InProgress" and row.detail:
        words[2] = "running"
    if row.ended is not None and row.status not in ("Skipped", "Inactive"):
        words.append(f"in {duration(row.seconds(now))}")
    text = " ".join(words)
    return f"{text}: {visible(row.detail)}" if row.detail else text


@contextmanager
def _live(session: Session, run_id: str, err: bool) -> Iterator[OnEvent]:
    from rich.console import Console
    from rich.live import Live

    progress = _of_run(session, run_id)
    lock = threading.Lock()
    console = Console(file=sys.stderr if err else sys.stdout, no_color=session.color is False, highlight=False)

    def render() -> Table:
        with lock:
            rows = list(progress.rows.values())
        return _live_table(session, rows)

    def on_event(event_run: str, event: StoredEvent) -> None:
        with lock:
            progress.take(event_run, event)

    with Live(get_renderable=render, console=console, refresh_per_second=8, transient=True):
        yield on_event


def _live_table(session: Session, rows: list[Row]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    now = datetime.now(UTC)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in ("activity", "type", "status", "time", "details"):
        grid.add_column(header, justify="right" if header == "time" else "left", overflow="ellipsis")
    hidden = len(rows) - ROWS_SHOWN
    if hidden > 0:
        running = [row for row in rows if row.status == "InProgress"]
        ended = [row for row in rows if row.status != "InProgress"]
        kept = ended[max(0, len(ended) - max(0, ROWS_SHOWN - len(running))) :] if len(running) < ROWS_SHOWN else []
        rows = [*kept, *running[:ROWS_SHOWN]]
        grid.caption = f"{hidden:,} more"
    for row in rows:
        cells = (visible(row.path), row.type, status(row.status), duration(row.seconds(now)), visible(row.detail))
        grid.add_row(*(Text.from_ansi(session.mask(cell)) for cell in cells))
    return grid


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
