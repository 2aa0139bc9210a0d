"""Waiting for Batch: this process carries the scheduler on while it looks whether something has happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from kyanite.errors import KyaniteError

if TYPE_CHECKING:
    from kyanite.batch.service import BatchService

_LOOK_SECONDS = 0.05


class WaitedTooLong(KyaniteError):
    """What was waited for did not happen in the time allowed; it goes on."""

    code = "TimedOut"


def until(service: BatchService, done: Callable[[], bool], seconds: float | None, what: str) -> None:
    """Schedule until something is done; WaitedTooLong after so many seconds (None waits for ever)."""
    limit = None if seconds is None else time.monotonic() + seconds
    while True:
        service.pump()
        if done():
            return
        if limit is not None and time.monotonic() > limit:
            raise WaitedTooLong(
                f"{what} is not done after {seconds:g} s.", cure="It goes on; look again, or wait longer."
            )
        time.sleep(_LOOK_SECONDS)
