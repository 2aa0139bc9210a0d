"""Threads that carry activities out. They are daemons: a process that ends does not wait for them, the log does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class DaemonThreads:
    """At most `size` threads, started when they are first needed."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._idle = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` in a thread as soon as one is free; it must not raise."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._started < self._size:
                self._started += 1
                threading.Thread(target=self._loop, name=f"activity-{self._started}", daemon=True).start()
        self._work.put(work)

    def _loop(self) -> None:
        while True:
            self._work.get()()
            with self._lock:
                self._idle += 1
