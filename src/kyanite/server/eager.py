"""Coroutines that begin at once: most requests are answered without waiting for anything, and need no task."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any


def drive(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """Run a coroutine up to where it first waits; a task for the rest, None when nothing is left.

    There is no `asyncio.current_task()` before that point, so what needs one (`asyncio.timeout`) must not come first.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return loop.create_task(_rest(coroutine, awaited))


async def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
    await _resumed(coroutine, awaited)


@types.coroutine
def _resumed(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    step: Callable[[], Any]
    while True:
        try:
            value = yield awaited
            step = partial(coroutine.send, value)
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as problem:  # noqa: BLE001 - the coroutine's own to deal with, a cancellation among them
            step = partial(coroutine.throw, problem)
        try:
            awaited = step()
        except StopIteration:
            return
