"""The way to one pool elsewhere: calls in threads of its own, so that an endpoint that hangs delays nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from kyanite import limits
from kyanite.batch.pools import Key, Seen
from kyanite.batch.remote_rest import RemoteBatch, Unreachable
from kyanite.errors import BatchError

Look = Callable[[list[Key]], Mapping[int, Seen]]
_OVER = ("ended", "fenced")


class RemoteLink:
    """What is under way at one pool. `over` is told of attempts that have ended; `trouble` is why nothing is heard.

    `size` is the one that is wanted now; whoever sends one holds `sizing`, so that an older never follows a newer.
    """

    def __init__(self, client: RemoteBatch, look: Look, over: Callable[[list[int]], None]) -> None:
        self.client = client
        self.trouble = ""
        self.size: Mapping[str, int] = {}
        self.sizing = threading.Lock()
        self._look = look
        self._over = over
        self._hands = ThreadPoolExecutor(limits.REMOTE_LAUNCHES_AT_ONCE, "azure-batch")
        self._lock = threading.Lock()
        self._watched: dict[int, Key] = {}
        self._seen: dict[int, Seen] = {}
        self._watcher: threading.Thread | None = None
        self._closed = threading.Event()

    def later(self, work: Callable[[], object]) -> None:
        """Do the work behind the caller's back, again and again while the endpoint does not answer."""
        if not self._closed.is_set():
            self._hands.submit(self._until_reached, work)

    def _until_reached(self, work: Callable[[], object]) -> None:
        pause = limits.REMOTE_FIRST_PAUSE_SECONDS
        while not self._closed.is_set():
            try:
                work()
                return
            except Unreachable as error:
                self.trouble = error.message
            except Exception as error:  # noqa: BLE001 - nobody else hears of it
                self.trouble = error.message if isinstance(error, BatchError) else repr(error)
                return
            self._closed.wait(pause)
            pause = min(pause * 2, limits.REMOTE_WAIT_SECONDS)

    def pause(self, seconds: float) -> bool:
        """Wait; whether work should go on."""
        return not self._closed.wait(seconds)

    def seen(self, key: Key) -> Seen:
        """What was seen of an attempt last; `running` until somebody has looked, for then nothing may be done."""
        with self._lock:
            found = self._seen.get(key.attempt)
        if found is None or found.status not in _OVER:
            self.watch(key)
        return found or Seen("running")

    def watch(self, key: Key) -> None:
        """Look at an attempt until it has ended."""
        with self._lock:
            self._watched[key.attempt] = key
            if self._watcher is None and not self._closed.is_set():
                self._watcher = threading.Thread(target=self._watch_all, name="azure-batch-watch", daemon=True)
                self._watcher.start()

    def forget(self, attempt: int) -> None:
        """Nobody will ask about the attempt any more."""
        with self._lock:
            self._watched.pop(attempt, None)
            self._seen.pop(attempt, None)

    def _watch_all(self) -> None:
        while not self._closed.wait(limits.REMOTE_LOOK_SECONDS):
            with self._lock:
                keys = list(self._watched.values())
            if not keys:
                continue
            try:
                seen = self._look(keys)
            except Exception as error:  # noqa: BLE001 - an odd answer must not end the watch
                self.trouble = error.message if isinstance(error, BatchError) else f"An odd answer: {error!r}"
                continue
            self.trouble = ""
            over = [attempt for attempt, found in seen.items() if found.status in _OVER]
            with self._lock:
                self._seen |= seen
                for attempt in over:
                    self._watched.pop(attempt, None)
            if over:
                self._over(over)

    def close(self) -> None:
        """Let go; what runs there goes on."""
        self._closed.set()
        self._hands.shutdown(wait=True, cancel_futures=True)
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        self.client.close()
