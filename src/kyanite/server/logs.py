"""What the server says about itself: a line per happening for people, or a JSON object per line for programs."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from queue import Full, Queue
from typing import Literal
from urllib.parse import unquote

from kyanite.limits import LOG_LAST_SECONDS, LOG_LINES_WAITING
from kyanite.server.http import Request, Response

Format = Literal["text", "json"]
LOGGERS = ("kyanite",)
_FIELDS = "fields"  # the attribute of a record that holds more than its message
_LINE_CHARACTERS = 64 * 1024
_REQUESTS = logging.getLogger("kyanite.requests")


class _Lines(logging.Handler):
    """Gives each record as one line to `write`, which masks secrets, in a thread of its own.

    Who reads the lines may stop for as long as he likes: the work goes on, and lines beyond a bound are only counted.
    """

    def __init__(self, style: Format, write: Callable[[str], None]) -> None:
        super().__init__()
        self._line = _as_json if style == "json" else _as_text
        self._write = write
        self._waiting: Queue[logging.LogRecord | None] = Queue(LOG_LINES_WAITING)
        self._left_out = 0
        self._thread = threading.Thread(target=self._pass_on, name="kyanite-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record for the thread; called by one thread at a time."""
        try:
            if self._left_out:
                self._waiting.put_nowait(_left_out(self._left_out))
                self._left_out = 0
            self._waiting.put_nowait(record)
        except Full:
            self._left_out += 1

    def end(self) -> bool:
        """Pass on what is waiting; False when nobody takes it."""
        with contextlib.suppress(Full):
            self._waiting.put(None, timeout=LOG_LAST_SECONDS)
            self._thread.join(LOG_LAST_SECONDS)
        return not self._thread.is_alive()

    def _pass_on(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                self._write(self._line(record)[:_LINE_CHARACTERS])
            except Exception:  # noqa: BLE001 - the way of logging: what cannot be said must not stop the server
                self.handleError(record)


def _left_out(count: int) -> logging.LogRecord:
    values = {"name": "kyanite.server", "levelno": logging.WARNING, "levelname": "WARNING", "msg": "%d lines left out"}
    return logging.makeLogRecord({**values, "args": (count,)})


@contextlib.contextmanager
def logging_to(
    write: Callable[[str], None],
    style: Format,
    level: int = logging.INFO,
    stuck: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Send what the server says to `write`, line by line; `stuck` is called at the end if that never returned."""
    handler = _Lines(style, write)
    before = [(logger, logger.level, logger.propagate) for logger in map(logging.getLogger, LOGGERS)]
    for logger, _, _ in before:
        logger.addHandler(handler)
        logger.setLevel(level if logger.name == "kyanite" else logging.WARNING)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, old_level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(old_level)
            logger.propagate = propagate
        if not handler.end():
            stuck()


def tell_request(request: Request, response: Response) -> None:
    """An observer that logs each request; queries are left out, signatures stand in them."""
    milliseconds = round((time.perf_counter() - request.begun) * 1000, 3)
    fields = {
        "service": request.service,
        "method": request.method,
        "host": request.host,
        "path": unquote(request.raw_path),
        "status": response.status,
        "milliseconds": milliseconds,
        "client": request.client,
        "identity": getattr(request.identity, "name", None),
        "requestId": request.headers.get("x-ms-client-request-id") or request.headers.get("client-request-id"),
    }
    message = f"{request.method} {fields['path']} {response.status} {milliseconds:.1f} ms"
    _REQUESTS.info("%s", message, extra={_FIELDS: fields})


def _as_text(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created).astimezone()
    level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
    return f"{moment:%H:%M:%S} {level}{_message(record)}"


def _as_json(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    document = {
        "time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record),
        **{name: value for name, value in getattr(record, _FIELDS, {}).items() if value is not None},
    }
    return json.dumps(document, ensure_ascii=False, default=str)


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    return f"{text}\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else text
