"""Group commit: what several calls want to write in the same moment becomes one transaction with one sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from kyanite.database import Database

Value = TypeVar("Value")
_TOGETHER = 256


class Committer:
    """Runs short pieces of work inside transactions; each is undone alone when it fails.

    Used from one event loop. A piece gives its value once the transaction is durable.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Value]) -> Value:
        """The value of the work, after its commit."""
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
                try:
                    outcomes = await asyncio.to_thread(self._commit, [work for work, _ in batch])
                except Exception as error:  # noqa: BLE001 - told to everyone whose work it was
                    outcomes = [error] * len(batch)
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue  # whoever asked has gone
                    if isinstance(outcome, Exception):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)
        finally:
            self._worker = None

    def _commit(self, works: list[Callable[[], Any]]) -> list[Any]:
        outcomes: list[Any] = []
        with self._database.transaction():
            for work in works:
                try:
                    with self._database.transaction():
                        outcomes.append(work())
                except Exception as error:  # noqa: BLE001 - told to the one whose work it was
                    outcomes.append(error)
        return outcomes
