"""Guessing costs time: answers to wrong secrets come ever later. Right ones are never late.

All clients of a loopback port share an address, so failures are counted for the server as a whole, and only the
answers that fail are delayed: nobody can lock the owner out.
"""

from __future__ import annotations

from collections import deque

from kyanite.limits import LOGIN_FAILURES_PER_MINUTE

_WINDOW_SECONDS = 60.0
_LATEST_SECONDS = 5.0


class Failures:
    """The failed attempts of the last minute."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=10 * LOGIN_FAILURES_PER_MINUTE)

    def delay(self, now: float) -> float:
        """How many seconds later the answer to one more failure should go out; `now` of a monotonic clock."""
        while self._at and self._at[0] <= now - _WINDOW_SECONDS:
            self._at.popleft()
        self._at.append(now)
        beyond = len(self._at) - LOGIN_FAILURES_PER_MINUTE
        return min(0.1 * 2 ** min(beyond, 10), _LATEST_SECONDS) if beyond > 0 else 0.0
