"""Errors of threads that nobody waits for."""

from __future__ import annotations

import logging
from collections import deque

from kyanite.errors import KyaniteError

_LOG = logging.getLogger("kyanite.batch")
_KEPT = 16


class Trouble:
    """What went wrong in the background; the work is tried again.

    Without a server the next caller who asks is told, one error at a time; the oldest are forgotten beyond 16. With
    one (`to_log`) each is logged once until another one comes, as nobody would ask for hours.
    """

    def __init__(self) -> None:
        self.to_log = False
        self._kept: deque[Exception] = deque(maxlen=_KEPT)
        self._said = ""

    def add(self, error: Exception) -> None:
        """Keep an error, or log it."""
        if not self.to_log:
            self._kept.append(error)
        elif str(error) != self._said:
            self._said = str(error)
            unexpected = None if isinstance(error, KyaniteError | OSError) else error
            _LOG.warning("batch: tried again after an error: %s", error, exc_info=unexpected)

    def raise_one(self) -> None:
        """Raise the oldest error that was kept, if there is one."""
        if self._kept:
            raise self._kept.popleft()
