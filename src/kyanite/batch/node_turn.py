"""What a turn does for nodes: prepare them, do what was asked of them, notice those that are lost or full."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from kyanite import limits
from kyanite.batch import nodes
from kyanite.batch.attempts import Ledger
from kyanite.batch.launching import NOTHING, Extra, start_launch
from kyanite.batch.model import AttemptEnd, Exited, Failing, FailureInfo, Fenced, NodeState, Pool
from kyanite.batch.pools import Place
from kyanite.batch.store import Attempt, NodeRow, read_time, time_text
from kyanite.batch.surroundings import Surroundings
from kyanite.errors import BatchError


class NodeKeeper:
    """Keeps the nodes of one database; slow work goes on in threads of its own and is recorded by later turns."""

    def __init__(
        self,
        at: Surroundings,
        ledger: Ledger,
        turn: threading.RLock,
        notify: Callable[[], None],
        fails: Callable[[Exception], None],
    ) -> None:
        self._at = at
        self._store = at.store
        self._ledger = ledger
        self._turn = turn
        self._notify = notify
        self._fails = fails
        self._busy: set[Place] = set()
        self._threads: list[threading.Thread] = []
        self._next_look = 0.0
        self._ensured: dict[Place, int] = {}
        self.closed = False
        ledger.settle_start = self._settle_start

    def close(self) -> None:
        """Wait a moment for what is under way."""
        for thread in list(self._threads):
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    # ---- a turn's part

    def version(self, pool: Pool, start_version: str) -> str:
        """What the pool's nodes must have been prepared with."""
        backend = self._at.backend(pool.spec.backend)
        return nodes.wanted_version(start_version, backend.stamp(self._name(pool), pool.id))

    def look(self) -> bool:
        """Every few seconds: nodes with work, or with a state that should pass, are asked how they are."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + limits.NODE_LOOK_SECONDS
        moved = False
        for row in self._store.rows("every_pool"):
            found = self._ledger.pool(row["account"], row["key"])
            if found is not None:
                moved |= self._look_at(found[0])
                self._ensure(found[0])
        return moved

    def _ensure(self, pool: Pool) -> None:
        """Tell the backend of a pool that changed since this process told it of the pool."""
        place = Place(self._name(pool), pool.id, "")
        if self._ensured.get(place, pool.version) != pool.version and place not in self._busy:
            self._ensured[place] = pool.version
            backend = self._at.backend(pool.spec.backend)
            self._aside(place, partial(backend.ensure_pool, place.account, pool.spec))

    def look_soon(self) -> None:
        """Something happened to a node: do not wait for the next look."""
        self._next_look = 0.0

    def _look_at(self, pool: Pool) -> bool:
        backend = self._at.backend(pool.spec.backend)
        moved = False
        for row in self._store.nodes(pool):
            place = self._place(pool, row)
            settled = row.node.state in (NodeState.IDLE, NodeState.RUNNING, NodeState.OFFLINE)
            sick = row.node.state in (NodeState.UNKNOWN, NodeState.UNUSABLE)
            if place in self._busy or not (settled or sick):
                continue
            health = backend.health(place)
            if health.wanted is None:
                if sick:
                    self._move(pool, nodes.healed(row, self._at.clock()))
                    moved = True
                continue
            if row.node.state.value != health.wanted:
                code = "DiskFull" if health.wanted == "unusable" else "NodeUnreachable"
                error = Failing(code, health.reason)
                self._move(pool, nodes.troubled(row, NodeState(health.wanted), error, self._at.clock()))
                moved = True
            if health.wanted == "unknown":
                self._aside(place, partial(backend.revive_node, place))
        return moved

    def carry_out(self, pool: Pool) -> bool:
        """Begin what was asked of empty nodes: let them go, reboot them, reimage them."""
        now = self._at.clock()
        moved = False
        for row in self._store.nodes(pool):
            place = self._place(pool, row)
            asked = row.leaving or row.wanted in ("reboot", "reimage")
            if not asked or place in self._busy or not self._is_empty(pool, row):
                continue
            moved = True
            if row.leaving:
                self._aside(place, partial(self._let_go, pool, row, place))
            else:
                self._move(pool, nodes.restarting(row, now))
                self._aside(place, partial(self._restart, pool, row, place))
        return moved

    def _is_empty(self, pool: Pool, row: NodeRow) -> bool:
        kept_until = None
        if row.option == "retaineddata":
            place = {"account": pool.account.casefold(), "pool": pool.id.casefold(), "node": row.node.id}
            kept_until = read_time(self._store.rows("node_kept_until", **place)[0]["at"])
        return nodes.is_empty(row, kept_until, self._at.clock())

    def _let_go(self, pool: Pool, row: NodeRow, place: Place) -> None:
        self._at.backend(pool.spec.backend).remove_node(place)
        with self._turn:
            if self.closed:
                return
            key = {"account": pool.account.casefold(), "pool": pool.id.casefold(), "id": row.node.id}
            if not self._store.change("drop_node", **key):  # it was kept after all: as good as new
                self._move(pool, nodes.restarted(row, self._at.clock()))

    def _restart(self, pool: Pool, row: NodeRow, place: Place) -> None:
        self._at.backend(pool.spec.backend).restart_node(place, row.wanted == "reimage")
        with self._turn:
            if not self.closed:
                key = {"account": pool.account.casefold(), "pool": pool.id.casefold(), "id": row.node.id}
                with self._store.database.transaction():
                    now = self._at.clock()
                    self._move(pool, nodes.restarted(row, now))
                    self._store.change("want_of_node", wanted=None, option=None, **key)
                    self._store.change("booted_node", at=time_text(now), **key)

    def _aside(self, place: Place, work: Callable[[], None]) -> None:
        """Do slow work on a node in a thread of its own."""

        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - nobody waits for this thread; the work is tried again
                self._fails(error)
            finally:
                self._busy.discard(place)
                self._threads.remove(threading.current_thread())
                self.look_soon()
                self._notify()

        self._busy.add(place)
        thread = threading.Thread(target=run, name=f"node-{place.node}", daemon=True)
        self._threads.append(thread)
        thread.start()

    # ---- preparing

    def prepare(self, pool: Pool, version: str, rows: list[NodeRow], start_version: str) -> list[Callable[[], None]]:
        """Begin preparing one node that needs it (in the turn's transaction); what to do once that is committed.

        Start tasks of a pool share its environment, so one at a time.
        """
        waiting = [row for row in rows if nodes.needs_preparing(row, version)]
        key = {"account": pool.account.casefold(), "pool": pool.id.casefold()}
        if not waiting or self._store.rows("starting_in_pool", **key)[0]["n"]:
            return []
        row = waiting[0]
        self._move(pool, nodes.starting(row, self._at.clock()))
        attempt = self._ledger.open("start", pool, row.node.id, row.retries + row.losses + 1, 0)
        place = self._place(pool, row)

        def begin() -> None:
            self._ledger.give(attempt)
            self._aside(place, partial(self._prepare, attempt, pool, start_version, place))

        return [begin]

    def _prepare(self, attempt: Attempt, pool: Pool, start_version: str, place: Place) -> None:
        end: AttemptEnd | None = None
        try:
            end = self._run_start(attempt, pool, start_version, place)
        except (BatchError, OSError, ValueError) as error:
            message = error.message if isinstance(error, BatchError) else str(error)
            end = Exited(None, None, None, FailureInfo("ServerError", "CommandLaunchFailed", message))
        with self._turn:
            if end is not None and not self.closed:
                with self._store.database.transaction():
                    self._ledger.settle(attempt, end)
                self._ledger.gone([attempt])

    def _run_start(self, attempt: Attempt, pool: Pool, start_version: str, place: Place) -> AttemptEnd | None:
        """The environment, the node's process, then the start task; its end when there is none to wait for."""
        backend = self._at.backend(pool.spec.backend)
        backend.ensure_pool(place.account, pool.spec)
        self._ensured[Place(place.account, pool.id, "")] = pool.version
        stamp = backend.prepare(place.account, pool.id, lambda _line: None)
        backend.ready_node(place)
        start = pool.spec.start_task
        extra = self._extra(pool)
        if start is None:
            return Exited(0, None, None)
        account = self._store.account(pool.account)
        with self._turn:
            row = None if self.closed else self._row(pool, attempt.node)
            if row is None or row.starting != attempt.id or account is None:
                return Fenced()
            now = self._at.clock()
            version = nodes.wanted_version(start_version, stamp)
            self._move(pool, nodes.environment_ready(row, start, version, now))
        self._notify()
        backend.launch(start_launch(account, pool, start, attempt, extra))
        return None

    def _extra(self, pool: Pool) -> Extra:
        account = self._store.account(pool.account)
        environment = self._at.task_environment(pool) if self._at.task_environment else {}
        packages = self._at.packages(account, pool, None) if self._at.packages and account else ()
        return Extra(environment, packages) if environment or packages else NOTHING

    def _settle_start(self, attempt: Attempt, end: AttemptEnd) -> None:
        found = self._store.pool(attempt.account, attempt.pool)
        row = self._row(found[0], attempt.node) if found else None
        if found is None or row is None:
            return
        pool, start_version = found
        now = self._at.clock()
        if pool.spec.start_task is None and isinstance(end, Exited) and end.failure is None:
            moved = nodes.environment_ready(row, None, self.version(pool, start_version), now)
        else:
            tail = self._stderr_tail(attempt) if not isinstance(end, Fenced) else ""
            moved = nodes.after_start_task(row, pool.spec.start_task, end, now, tail)
            if isinstance(end, Exited) and end.exit_code is None:  # held until the pool changes or is prepared anew
                moved = replace(moved, version=self.version(pool, start_version))
        self._move(pool, moved)

    def _stderr_tail(self, attempt: Attempt) -> str:
        try:
            files = self._ledger.backend(attempt).files(self._ledger.key(attempt).place)
            text = files.read(("startup", "stderr.txt"), 0, None).decode(errors="replace")
        except (BatchError, FileNotFoundError):
            return ""
        return self._at.mask(text[-limits.STDERR_TAIL_CHARACTERS :])

    # ---- rows

    def _move(self, pool: Pool, row: NodeRow) -> None:
        self._store.move_node(pool, row, self._at.clock())

    def _row(self, pool: Pool, node: str) -> NodeRow | None:
        return next((row for row in self._store.nodes(pool) if row.node.id == node), None)

    def _place(self, pool: Pool, row: NodeRow) -> Place:
        return Place(self._name(pool), pool.id, row.node.id)

    def _name(self, pool: Pool) -> str:
        return self._ledger.account(pool.account).name
