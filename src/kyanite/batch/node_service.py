"""The verbs on nodes. Batch reference section 3."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from kyanite.batch import node_operations
from kyanite.batch.codes import refusal
from kyanite.batch.model import Node, NodeState, Pool
from kyanite.batch.nodes import needs_preparing, wanted_version
from kyanite.batch.pools import Place
from kyanite.batch.preparing import watch_preparation
from kyanite.batch.service_base import ServiceBase
from kyanite.batch.store import time_text

_RECENT = 10


class NodeService(ServiceBase):
    """The verbs on nodes."""

    def nodes(self, account: str, pool: str) -> list[Node]:
        """The nodes of a pool with their states, start task results and folders."""
        return self._nodes(self.pool(account, pool))

    def list_nodes(self, account: str, pool: str, after: str | None = None) -> Iterable[Node]:
        """The nodes of a pool by id, those after the id `after`."""
        found = sorted(self.nodes(account, pool), key=lambda node: node.id.casefold())
        return [node for node in found if node.id.casefold() > (after or "").casefold()]

    def get_node(self, account: str, pool: str, node: str) -> Node:
        """A node; NodeNotFound."""
        for found in self.nodes(account, pool):
            if found.id.casefold() == node.casefold():
                return found
        raise refusal("NodeNotFound", where=f"pool {pool}")

    def _nodes(self, pool: Pool) -> list[Node]:
        """A node that must be prepared (again) before its next task is shown as one that is being created."""
        backend = self._backend(pool.spec.backend)
        name = self._name(pool.account)
        found = self._store.pool(name, pool.id)
        version = wanted_version(found[1] if found else "", backend.stamp(name, pool.id))
        shown = []
        for row in self._store.nodes(pool):
            state = row.node.state
            if needs_preparing(row, version):
                state = NodeState.CREATING
            elif state is NodeState.IDLE and not row.node.scheduling:
                state = NodeState.OFFLINE
            folder = backend.node_folder(name, pool.id, row.node.id)
            shown.append(replace(row.node, folder=str(folder) if folder else "", state=state))
        return shown

    def recent_tasks(self, account: str, pool: str, node: str) -> list[dict[str, Any]]:
        """The latest tasks of a node as rows for wire.recent_task_json, newest first."""
        found = self.pool(account, pool)
        key = {"account": found.account.casefold(), "pool": found.id.casefold(), "node": node}
        return [dict(row) for row in self._store.rows("recent_tasks", most=_RECENT, **key)]

    def reboot_node(self, account: str, pool: str, node: str, option: str = "requeue") -> None:
        """Begin to reboot a node; its start task runs again."""
        node_operations.reboot_node(self._store, self._scheduler, self._living_pool(account, pool), node, option)

    def reimage_node(self, account: str, pool: str, node: str, option: str = "requeue") -> None:
        """Begin to reimage a node; its files go and its start task runs again."""
        node_operations.reimage_node(self._store, self._scheduler, self._living_pool(account, pool), node, option)

    def disable_scheduling(self, account: str, pool: str, node: str, option: str = "requeue") -> None:
        """Give a node no further tasks."""
        node_operations.disable_scheduling(self._store, self._scheduler, self._living_pool(account, pool), node, option)

    def enable_scheduling(self, account: str, pool: str, node: str) -> None:
        """Give a node tasks again."""
        node_operations.enable_scheduling(self._store, self._scheduler, self._living_pool(account, pool), node)

    def unheard(self, account: str, pool: str, node: str) -> str:
        """Why nothing is heard of a node whose backend is elsewhere; empty when all is well."""
        found = self.pool(account, pool)
        place = Place(self._name(found.account), found.id, node)
        return "" if found.spec.backend == "local" else self._backend(found.spec.backend).health(place).reason

    def prepare_pool(
        self,
        account: str,
        pool: str,
        progress: Callable[[str], None] = lambda _line: None,
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Node]:
        """Prepare every node now (environment, start task) and wait; nodes whose start task failed try again.

        `progress` gets a line per change and the start task's output. StartTaskFailed when no node is usable.
        """
        found = self.pool(account, pool)
        key = (found.account.casefold(), found.id.casefold())
        self._store.change("reset_failed_nodes", account=key[0], pool=key[1], at=time_text(self._clock()))
        return watch_preparation(
            found,
            lambda: self.nodes(account, pool),
            lambda: self._scheduler.pump(also=key),
            self._scheduler,
            lambda line: progress(self._vault.mask(line)),
            cancelled,
        )
