"""How much at once: calls in hand, calls per second of one identity, bad tokens per minute of one address."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kyanite.limits import (
    MANAGEMENT_BAD_TOKENS_PER_MINUTE,
    MANAGEMENT_CALLS_AT_ONCE,
    MANAGEMENT_CALLS_BURST,
    MANAGEMENT_CALLS_PER_SECOND,
)
from kyanite.server.management.arm import ArmError

_KNOWN_MOST = 1000


class Bucket:
    """Tokens that come back at a steady rate, up to `most`."""

    def __init__(self, rate: float, most: float, now: float) -> None:
        self._rate = rate
        self._most = most
        self._left = most
        self._at = now

    def take(self, now: float) -> float:
        """Take one: 0, or the seconds until there is one."""
        self._left = min(self._most, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate


class Admission:
    """Lets calls in or refuses them with 429 and `Retry-After`. Used from one event loop.

    Bad tokens are counted apart: whoever has a good one is never kept out by others who guess.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_hand = 0
        self._callers: dict[str, Bucket] = {}
        self._guesses: dict[str, Bucket] = {}

    @contextmanager
    def place(self, caller: str) -> Iterator[None]:
        """A place for one call of a caller."""
        if self._in_hand >= MANAGEMENT_CALLS_AT_ONCE:
            raise _too_many("The server has too many calls in hand.", 1)
        wait = self._bucket(self._callers, caller, MANAGEMENT_CALLS_PER_SECOND, MANAGEMENT_CALLS_BURST)
        if wait:
            raise _too_many("The caller sends too many requests.", wait)
        self._in_hand += 1
        try:
            yield
        finally:
            self._in_hand -= 1

    def count_refusal(self, address: str) -> None:
        """A bad token came from an address; ArmError 429 when they are too many."""
        per_minute = MANAGEMENT_BAD_TOKENS_PER_MINUTE
        wait = self._bucket(self._guesses, address, per_minute / 60, per_minute)
        if wait:
            raise _too_many("Too many bad tokens came from this address.", wait)

    def _bucket(self, known: dict[str, Bucket], key: str, rate: float, most: float) -> float:
        if key not in known and len(known) >= _KNOWN_MOST:
            del known[next(iter(known))]
        now = self._clock()
        return known.setdefault(key, Bucket(rate, most, now)).take(now)


def _too_many(message: str, seconds: float) -> ArmError:
    return ArmError(
        message,
        code="TooManyRequests",
        status=429,
        headers={"retry-after": str(max(1, round(seconds + 0.5)))},
    )
