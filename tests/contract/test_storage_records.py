"""The small database of an account's records, when many threads want it first."""

from __future__ import annotations

import threading
from pathlib import Path

from kyanite.storage.record_store import record_store


def test_threads_that_open_it_at_once_share_it(tmp_path: Path) -> None:
    problems: list[BaseException] = []
    for number in range(20):
        account = str(tmp_path / f"account{number}")
        together = threading.Barrier(8)

        def write(name: int, account: str = account, together: threading.Barrier = together) -> None:
            together.wait()
            try:
                for key in range(3):
                    record_store(account).put("c", f"{name}-{key}", "text")
            except BaseException as problem:  # noqa: BLE001 - told below, by the test's own thread
                problems.append(problem)

        threads = [threading.Thread(target=write, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert problems == []
        assert len(record_store(account).keys("c")) == 24
