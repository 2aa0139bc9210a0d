"""Figures about the server in Prometheus' text form, version 0.0.4: requests, runs, tasks, nodes, the process."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from kyanite._version import __version__
from kyanite.database import Database, named_statements
from kyanite.server.http import Request, Response

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
_STATES = {"nodes": "Nodes of pools", "runs": "Pipeline runs", "tasks": "Batch tasks"}

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts requests; `observe` is an observer of a ServerContext."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def observe(self, request: Request, response: Response) -> None:
        """Count an answer; its time is that until it began."""
        seconds = time.perf_counter() - request.begun
        service = request.service
        with self._lock:
            self._requests[service, request.method, response.status] += 1
            if service not in self._buckets:
                self._buckets[service], self._seconds[service] = [0] * (len(BUCKETS) + 1), 0.0
            self._buckets[service][bisect_left(BUCKETS, seconds)] += 1
            self._seconds[service] += seconds

    def text(self, database: Database) -> str:
        """Everything; reads the database."""
        return "\n".join([*self._of_requests(), *_of_state(database), *_of_process(), ""])

    def _of_requests(self) -> Iterator[str]:
        with self._lock:
            requests = sorted(self._requests.items())
            buckets = {service: list(counts) for service, counts in self._buckets.items()}
            seconds = dict(self._seconds)
        rows = [
            ((("service", service), ("method", method), ("status", str(status))), count)
            for (service, method, status), count in requests
        ]
        yield from _family("requests_total", "counter", "Requests answered.", rows)
        yield from _head("request_seconds", "histogram", "Time until an answer began.")
        for service, counts in sorted(buckets.items()):
            total = 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                total += count
                yield _line("request_seconds_bucket", (("service", service), ("le", bound)), total)
            yield _line("request_seconds_sum", (("service", service),), seconds[service])
            yield _line("request_seconds_count", (("service", service),), total)


def _of_state(database: Database) -> Iterator[str]:
    for what, statement in named_statements("kyanite.server", "metrics.sql").items():
        label = "status" if what == "runs" else "state"
        rows = [(((label, str(row["label"])),), int(row["number"])) for row in database.query(statement)]
        yield from _family(what, "gauge", f"{_STATES[what]} by {label}.", rows)


def _of_process() -> Iterator[str]:
    import psutil

    process = psutil.Process()
    times = process.cpu_times()
    yield from _family("build_info", "gauge", "The version.", [((("version", __version__),), 1)])
    yield from _family("process_resident_bytes", "gauge", "Memory in use.", [((), process.memory_info().rss)])
    yield from _family("process_cpu_seconds_total", "counter", "CPU time.", [((), times.user + times.system)])
    yield from _family("process_threads", "gauge", "Threads.", [((), process.num_threads())])
    yield from _family("process_open_files", "gauge", "Open file descriptors.", [((), process.num_fds())])
    yield from _family("process_start_seconds", "gauge", "When it began, UNIX time.", [((), process.create_time())])


def _family(name: str, kind: str, text: str, rows: Iterable[tuple[Labels, float]]) -> Iterator[str]:
    yield from _head(name, kind, text)
    for labels, value in rows:
        yield _line(name, labels, value)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP kyanite_{name} {text}"
    yield f"# TYPE kyanite_{name} {kind}"


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"kyanite_{name}{{{shown}}} {value!r}" if shown else f"kyanite_{name} {value!r}"


_ESCAPES: Mapping[int, str] = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)
