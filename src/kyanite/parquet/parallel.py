"""Parts written at the same time: by processes where everything can be described to them, else by threads."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from kyanite.parquet.copies import ended
from kyanite.parquet.footer import Footer
from kyanite.parquet.inputs import Inputs
from kyanite.parquet.model import Cancelled, Part, Source, Writer, check_cancelled
from kyanite.parquet.part import complete_part
from kyanite.parquet.split_plan import PlannedPart

WAIT_SECONDS = 0.2  # how soon a cancellation is noticed


@dataclass(frozen=True)
class Job:
    """All that another process needs to write any part; `staged` parts are committed by who writes them.

    `folder` holds the row groups that planning has encoded anew.
    """

    sources: tuple[Source, ...]
    dictionary_limit: float
    open_part: Callable[[str], Writer]
    staged: bool
    folder: Path | None

    def is_portable(self) -> bool:
        """Whether processes can do it: its members can be pickled, and nothing has to be committed later."""
        try:
            data = pickle.dumps(self)
        except (pickle.PicklingError, AttributeError, TypeError):
            return False
        return self.staged and b"__main__" not in data  # the processes do not know the script that runs


def write_parts(
    job: Job,
    footers: Sequence[Footer],
    planned: Sequence[PlannedPart],
    workers: int,
    written: Callable[[Part], None],
    cancelled: Cancelled,
) -> list[Writer]:
    """The writers still to be committed; `written(part)` is called in the parts' order.

    A part of several rows above its target is aborted, not committed. After an error no writer is left open.
    """
    with ExitStack() as stack:
        workers = min(workers, len(planned))
        hands = _Threads(job, footers, cancelled)
        stack.callback(hands.close)
        if job.is_portable():
            pool: Executor = ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,))
            with _without_script():
                futures = [pool.submit(_write_here, part) for part in planned]
        else:
            pool = ThreadPoolExecutor(workers)
            futures = [pool.submit(hands.write, part) for part in planned]
        try:
            for part in _results(futures, cancelled):
                written(part)
        except BaseException as problem:
            pool.shutdown(wait=True, cancel_futures=True)
            hands.abort()
            if isinstance(problem, BrokenProcessPool):
                raise ended() from problem
            raise
        pool.shutdown(wait=True)
        return [hands.open[part.name] for part in planned if part.name in hands.open]


@contextmanager
def _without_script() -> Iterator[None]:
    """Processes started now do not run the script of this one, which may have no `if __name__ == "__main__"`."""
    members = vars(sys.modules["__main__"])
    kept: dict[str, object] = {name: members[name] for name in ("__file__", "__spec__") if name in members}
    members.pop("__file__", None)
    members["__spec__"] = None
    try:
        yield
    finally:
        members.update(kept)


def _results(futures: Sequence[Future[Part]], cancelled: Cancelled) -> Iterator[Part]:
    for future in futures:
        while not future.done():
            check_cancelled(cancelled)
            try:
                future.result(timeout=WAIT_SECONDS)
            except TimeoutError:
                continue
        yield future.result()


class _Threads:
    """What threads that write parts share: each has its own open files, all the writers not committed yet."""

    def __init__(self, job: Job, footers: Sequence[Footer], cancelled: Cancelled) -> None:
        self._job = job
        self._footers = footers
        self._cancelled = cancelled
        self._lock = threading.Lock()
        self._local = threading.local()
        self._stack = ExitStack()
        self.open: dict[str, Writer] = {}

    def write(self, part: PlannedPart) -> Part:
        """Write one part, in a thread."""
        writer = self._job.open_part(part.name)
        made, still_open = complete_part(self._inputs(), part, writer, self._step, commits=self._job.staged)
        if still_open:
            with self._lock:
                self.open[part.name] = writer
        return made

    def _step(self, _: int) -> None:
        check_cancelled(self._cancelled)

    def _inputs(self) -> Inputs:
        if not hasattr(self._local, "inputs"):
            with self._lock:
                inputs = Inputs(self._job.sources, self._footers, self._job.dictionary_limit, self._job.folder)
                self._local.inputs = self._stack.enter_context(inputs)
        mine: Inputs = self._local.inputs
        return mine

    def abort(self) -> None:
        """Throw away the parts that are written."""
        with ExitStack() as stack:
            for writer in self.open.values():
                stack.callback(writer.abort)
            self.open = {}

    def close(self) -> None:
        """Close the threads' files."""
        self._stack.close()


_here: list[tuple[Job, Inputs]] = []


def _start(job: Job) -> None:
    """What a process of the pool keeps from part to part: footers and open files. It ends when its parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # 40 MB less than pyarrow's own allocator
    _here.append((job, Inputs(job.sources, dictionary_limit=job.dictionary_limit, folder=job.folder)))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)  # a parent that was killed closes no queue


def _write_here(part: PlannedPart) -> Part:
    job, inputs = _here[0]
    return complete_part(inputs, part, job.open_part(part.name), lambda _: None, commits=True)[0]
