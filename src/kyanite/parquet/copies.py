"""Copies of this process (by `fork`) that work for it: each knows all that is in memory, and ends with its maker."""

from __future__ import annotations

import gc
import mmap
import os
import pickle
import select
import signal
import struct as packing
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from kyanite.errors import StorageError

LOOK_SECONDS = 0.1
MOST_COPIES = 4  # that are made unasked
_NUMBER, _SIZE = packing.Struct("<q"), packing.Struct("<I")

Step = Callable[[int], None]
Skills = Mapping[str, Callable[[Any, Step], Any]]


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
    return min(len(os.sched_getaffinity(0)), MOST_COPIES)


def ended() -> StorageError:
    """What is to be said of a process that is gone without an answer."""
    return StorageError(
        "A process that wrote parts was ended from outside; nothing was committed.",
        cure="See whether memory ran out, and use fewer workers.",
        code="ProcessEnded",
    )


class Copies:
    """`count` copies, made now; `end` ends them, at once and whatever they are doing.

    `skills` are what a copy can be asked to do, by name: `skill(task, step)`, where `step(number)` adds to `steps` and
    is to be called often. Tasks and results go by pickle; `begin()` is called in each copy first. An error in a copy is
    raised here, a copy that was killed is a StorageError.
    """

    def __init__(self, count: int, skills: Skills, begin: Callable[[], None]) -> None:
        self._copies: list[_Copy] = []
        self._steps = mmap.mmap(-1, count * _NUMBER.size)  # a sum for each copy, seen by all
        try:
            for place in range(count):
                self._copies.append(self._made(place, skills, begin))
        except BaseException:
            self.end()
            raise

    @property
    def steps(self) -> int:
        """The sum of all steps in all copies."""
        return sum(number for (number,) in _NUMBER.iter_unpack(self._steps))

    def run(
        self,
        skill: str,
        tasks: Sequence[Any],
        take: Callable[[int, int, Any], bool],
        look: Callable[[], None],
        best: Callable[[int], int | None] = lambda number: None,
    ) -> None:
        """Do all tasks, each in the copy that is `best(number)` for it, or in any when that one has too much to do.

        `take(number, copy, result)` is called in the order of the tasks; when it is False, no more are begun, and what
        comes later is dropped. `look()` is called several times a second.
        """
        waiting = _Waiting(len(tasks), len(self._copies), best)
        early: dict[int, tuple[int, Any]] = {}
        due, is_wanted = 0, True
        busy: dict[int, int] = {}  # copies and what they do

        def give(copy: int) -> None:
            number = waiting.next(copy) if is_wanted else None
            if number is not None:
                busy[copy] = number
                self._copies[copy].ask(skill, tasks[number])

        for copy in range(len(self._copies)):
            give(copy)
        while busy:
            for copy in self._ready(busy):
                early[busy.pop(copy)] = copy, self._copies[copy].answer()
                while is_wanted and due in early:
                    is_wanted = take(due, *early.pop(due))
                    due += 1
                give(copy)
            look()

    def ask_all(self, skill: str) -> list[Any]:
        """What each copy answers."""
        for copy in self._copies:
            copy.ask(skill, None)
        return [copy.answer() for copy in self._copies]

    def end(self) -> None:
        """End them all; what they have told is done."""
        copies, self._copies = self._copies, []
        for copy in copies:
            copy.kill()
        for copy in copies:
            with suppress(ChildProcessError):
                os.waitpid(copy.pid, 0)
        self._steps.close()

    def _ready(self, busy: Mapping[int, int]) -> list[int]:
        """Those of the copies that have answered, waited for a while."""
        poll = select.poll()
        ends = {self._copies[copy].answers: copy for copy in busy}
        for end in ends:
            poll.register(end, select.POLLIN)
        return [ends[end] for end, _ in poll.poll(LOOK_SECONDS * 1000)]

    def _made(self, place: int, skills: Skills, begin: Callable[[], None]) -> _Copy:
        commands, command = os.pipe()
        answers, answer = os.pipe()
        maker, steps, offset = os.getpid(), self._steps, place * _NUMBER.size

        def step(number: int) -> None:
            if os.getppid() != maker:
                os._exit(1)
            _NUMBER.pack_into(steps, offset, _NUMBER.unpack_from(steps, offset)[0] + number)

        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            pid = os.fork()
            if pid == 0:
                foreign = [command, answers, *(end for copy in self._copies for end in (copy.commands, copy.answers))]
                _live(commands, answer, foreign, begin, lambda skill, task: skills[skill](task, step))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(commands)
            os.close(answer)
        return _Copy(pid, command, answers)


class _Waiting:
    """Tasks that nobody does yet: of each copy those it is best for, and the others."""

    def __init__(self, tasks: int, copies: int, best: Callable[[int], int | None]) -> None:
        self._own: list[deque[int]] = [deque() for _ in range(copies)]
        self._others: deque[int] = deque()
        for number in range(tasks):
            copy = best(number)
            (self._others if copy is None else self._own[copy]).append(number)

    def next(self, copy: int) -> int | None:
        """What a copy should do next: the first of its own and of the others, else the last of another's own."""
        mine = [tasks for tasks in (self._own[copy], self._others) if tasks]
        if mine:
            return min(mine, key=lambda tasks: tasks[0]).popleft()
        most = max(self._own, key=len)
        return most.pop() if most else None


class _Copy:
    """One copy as its maker sees it."""

    def __init__(self, pid: int, commands: int, answers: int) -> None:
        self.pid = pid
        self.commands = commands
        self.answers = answers

    def ask(self, skill: str, task: Any) -> None:
        """Have it do something; `answer` gives the result."""
        with suppress(BrokenPipeError):  # the answer tells that it has ended
            _put(self.commands, pickle.dumps((skill, task)))

    def answer(self) -> Any:
        """The result, waited for; an error is raised."""
        data = _take(self.answers)
        if data is None:
            raise ended()
        is_done, result = pickle.loads(data)  # noqa: S301 - of a copy of ourselves
        if not is_done:
            raise result
        return result

    def kill(self) -> None:
        """End it at once; the maker then waits for it."""
        os.close(self.commands)
        os.close(self.answers)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _live(
    commands: int, answer: int, foreign: list[int], begin: Callable[[], None], do: Callable[[str, Any], Any]
) -> NoReturn:
    """All that a copy does: it never returns to what its maker was doing."""
    try:
        gc.freeze()  # what was there before is not looked through, so that its memory stays shared
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # Ctrl-C is for the maker, which ends us
        for end in foreign:
            os.close(end)
        begin()
        while (data := _take(commands)) is not None:
            skill, task = pickle.loads(data)  # noqa: S301 - of our maker
            try:
                _put(answer, pickle.dumps((True, do(skill, task))))
            except BaseException as error:  # noqa: BLE001 - raised by the maker
                _put(answer, _told(error))
    finally:
        os._exit(0)


def _told(error: BaseException) -> bytes:
    try:
        data = pickle.dumps((False, error))
        pickle.loads(data)  # noqa: S301 - some can be pickled, and not be made again
    except Exception:  # noqa: BLE001 - then it is told in words
        data = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return data


def _put(end: int, data: bytes) -> None:
    view = memoryview(_SIZE.pack(len(data)) + data)
    while view:
        view = view[os.write(end, view) :]


def _take(end: int) -> bytes | None:
    """What was put at the other end; None when nobody will put any more there."""
    head = _exactly(end, _SIZE.size)
    return None if head is None else _exactly(end, _SIZE.unpack(head)[0])


def _exactly(end: int, size: int) -> bytes | None:
    pieces = []
    while size:
        piece = os.read(end, size)
        if not piece:
            return None
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
