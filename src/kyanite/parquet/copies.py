"""Copies of this process (by `fork`) that share a row of tasks: each knows all that is in memory, and ends with us."""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import select
import signal
import struct as packing
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from kyanite.errors import StorageError

LOOK_SECONDS = 0.1
MOST_COPIES = 4  # that are made unasked
_NUMBER, _SIZE = packing.Struct("<q"), packing.Struct("<I")
_NO_MORE = -1
_DONE, _FINISHED, _FAILED = "done", "finished", "failed"

Step = Callable[[int], None]
Do = Callable[[int, Step], Any]


def may_fork() -> bool:
    """Whether a copy of this process works: with one thread, no other can hold what the copy would wait for.

    Threads of libraries count too; where the system does not tell of them (it is not Linux), the answer is no.
    """
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False


def spare_copies() -> int:
    """How many are worth making unasked: one for each processor that this process may use, up to four."""
    return min(len(os.sched_getaffinity(0)), MOST_COPIES) if may_fork() else 1


def in_copies(
    tasks: int,
    copies: int,
    begin: Callable[[], None],
    do: Do,
    finish: Callable[[], Any],
    take: Callable[[int, Any], bool],
    look: Callable[[int], None],
) -> list[Any]:
    """Tasks 0 .. `tasks` done in copies of this process; what `finish` gave at the end of each copy.

    `begin()`, `do(number, step)` for each of its tasks, and `finish()` run in a copy; what they give comes by pickle.
    `take(number, result)` is called here in the order of the tasks; when it is False, no more are begun, and results
    that come later are dropped. `look(steps)`, with the sum of all steps so far, is called here several times a second.
    An error in a copy, of `take` or of `look` ends all copies at once and is raised; a copy that was killed is a
    StorageError.
    """
    with _Copies(min(copies, tasks), begin, do, finish) as made:
        return made.run(tasks, take, look)


class _Copy:
    """One copy as its maker sees it."""

    def __init__(self, pid: int, commands: int, answers: int) -> None:
        self.pid = pid
        self.commands = commands
        self.answers = answers
        self.is_idle = True


class _Copies:
    def __init__(self, count: int, begin: Callable[[], None], do: Do, finish: Callable[[], Any]) -> None:
        self._copies: list[_Copy] = []
        self._steps = mmap.mmap(-1, count * _NUMBER.size)  # a sum for each copy, seen by all
        self._finished: list[Any] = []
        try:
            for place in range(count):
                self._copies.append(self._made(place, begin, do, finish))
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> _Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _made(self, place: int, begin: Callable[[], None], do: Do, finish: Callable[[], Any]) -> _Copy:
        commands, command = os.pipe()
        answers, answer = os.pipe()
        maker = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            pid = os.fork()
            if pid == 0:
                others = [end for copy in self._copies for end in (copy.commands, copy.answers)]
                _live(
                    commands, answer, [command, answers, *others], lambda: self._work(maker, place, begin, do), finish
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(commands)
            os.close(answer)
        return _Copy(pid, command, answers)

    def _work(self, maker: int, place: int, begin: Callable[[], None], do: Do) -> Callable[[int], Any]:
        """What a copy does for a task; it ends between two steps when its maker has."""
        begin()
        steps, offset = self._steps, place * _NUMBER.size

        def step(count: int) -> None:
            if os.getppid() != maker:
                os._exit(1)
            _NUMBER.pack_into(steps, offset, _NUMBER.unpack_from(steps, offset)[0] + count)

        return lambda number: do(number, step)

    def run(self, tasks: int, take: Callable[[int, Any], bool], look: Callable[[int], None]) -> list[Any]:
        """Give out the tasks and take what comes back, until all copies have finished."""
        waiting = deque(range(tasks))
        early: dict[int, Any] = {}
        due, is_wanted = 0, True
        poll = select.poll()
        for copy in self._copies:
            poll.register(copy.answers, select.POLLIN)
            _give(copy, waiting)
        running = {copy.answers: copy for copy in self._copies}
        while running:
            for end, _ in poll.poll(LOOK_SECONDS * 1000):
                copy = running[end]
                kind, number, result = _answer(end)
                if kind == _FAILED:
                    raise result
                if kind == _FINISHED:
                    self._finished.append(result)
                    poll.unregister(end)
                    del running[end]
                    continue
                early[number] = result
                while is_wanted and due in early:
                    is_wanted = take(due, early.pop(due))
                    due += 1
                if not is_wanted:
                    waiting.clear()
                _give(copy, waiting)
            look(sum(number for (number,) in _NUMBER.iter_unpack(self._steps)))
        return self._finished

    def _end(self) -> None:
        for copy in self._copies:
            os.close(copy.commands)
            os.close(copy.answers)
            with suppress(ProcessLookupError):
                os.kill(copy.pid, signal.SIGKILL)  # one that has finished has nothing more to do
            with suppress(ChildProcessError):
                os.waitpid(copy.pid, 0)
        self._copies = []
        self._steps.close()


def _give(copy: _Copy, waiting: deque[int]) -> None:
    """The next task, or the end of them."""
    with suppress(BrokenPipeError):  # its answers tell that it has ended
        os.write(copy.commands, _NUMBER.pack(waiting.popleft() if waiting else _NO_MORE))


def _answer(end: int) -> tuple[str, int, Any]:
    (size,) = _SIZE.unpack(_exactly(end, _SIZE.size))
    answer: tuple[str, int, Any] = pickle.loads(_exactly(end, size))  # noqa: S301 - of a copy of ourselves
    return answer


def _exactly(end: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(end, size - len(data))
        if not piece:
            raise StorageError(
                "A process that wrote parts was ended from outside; nothing was committed.",
                cure="See whether memory ran out, and use fewer workers.",
                code="ProcessEnded",
            )
        data += piece
    return data


def _live(
    commands: int, answer: int, foreign: list[int], work: Callable[[], Callable[[int], Any]], finish: Callable[[], Any]
) -> NoReturn:
    """All that a copy does: it never returns to what its maker was doing."""
    try:
        gc.freeze()  # what was there before is not looked through, so that its memory stays shared
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # Ctrl-C is for the maker, which tells us
        for end in foreign:
            os.close(end)
        try:
            do = work()
            while (number := _NUMBER.unpack(_exactly(commands, _NUMBER.size))[0]) != _NO_MORE:
                _tell(answer, _DONE, number, do(number))
            _tell(answer, _FINISHED, 0, finish())
        except BaseException as error:  # noqa: BLE001 - raised by the maker
            _tell(answer, _FAILED, 0, error)
    finally:
        os._exit(0)


def _tell(answer: int, kind: str, number: int, result: Any) -> None:
    try:
        data = pickle.dumps((kind, number, result))
    except Exception:  # noqa: BLE001 - an error that cannot be pickled is told in words
        data = pickle.dumps((_FAILED, number, RuntimeError(f"{type(result).__name__}: {result}")))
    view = memoryview(_SIZE.pack(len(data)) + data)
    while view:
        view = view[os.write(answer, view) :]
