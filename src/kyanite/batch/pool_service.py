"""The verbs on pools. Batch reference sections 2 and 6.7."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from kyanite import limits
from kyanite.batch import making, resizing
from kyanite.batch.applications import check_references
from kyanite.batch.codes import missing, refusal
from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.batch.documents import pool_document, read_interval, read_pool, read_resize_timeout
from kyanite.batch.model import AllocationState, Pool, PoolSpec, PoolState, check_identifier, etag
from kyanite.batch.reading import Document, choice, duration_text, items, text, whole
from kyanite.batch.service_base import ServiceBase
from kyanite.batch.staging import check_paths
from kyanite.batch.store import read_time, time_text

_ALWAYS = (
    "applicationPackageReferences",
    "certificateReferences",
    "displayName",
    "metadata",
    "startTask",
    "targetNodeCommunicationMode",
    "taskSchedulingPolicy",
    "upgradePolicy",
)
_WITHOUT_NODES = (
    "enableInterNodeCommunication",
    "networkConfiguration",
    "resourceTags",
    "taskSlotsPerNode",
    "userAccounts",
    "virtualMachineConfiguration",
    "vmSize",
)
_REPLACED = ("applicationPackageReferences", "certificateReferences", "metadata", "startTask")


class PoolService(ServiceBase):
    """The verbs on pools."""

    def add_pool(self, account: str, document: Document) -> Pool:
        """Make a pool from the body of `POST /pools`; its nodes are there at once, their preparation follows."""
        name = self._name(account)
        spec = read_pool(document)
        self._check_formula(spec.formula)
        self._backend(spec.backend)
        self._remember_users(name, spec)
        with self._begin():
            check_references(self._store, name, document)
            pool = making.make_pool(self._store, name, spec, self._clock())
        self._scheduler.notify()
        return pool

    def _remember_users(self, account: str, spec: PoolSpec) -> None:
        users = [user for user in items(spec.document, "userAccounts") if isinstance(user, Mapping)]
        passwords = {str(user.get("name")): text(user, "password") for user in users}
        self._remember(f"batch/{account}/pools/{spec.id}", passwords)

    def create_pool(self, account: str, spec: PoolSpec) -> Pool:
        """Make the pool, or give the one that exists its new properties; nodes are prepared on first use.

        A changed start task runs again on each node before its next task; nodes too many leave once they are empty.
        """
        name = self._name(account)
        check_identifier("pool", spec.id)
        self._check_formula(spec.formula)
        if spec.start_task is not None:
            from kyanite.batch.command_line import parse_command_line

            parse_command_line(spec.start_task.command_line)
            check_paths(spec.start_task.resource_files)
        self._backend(spec.backend)
        self._remember_users(name, spec)
        if not spec.document:
            spec = replace(spec, document=pool_document(spec))
        with self._begin():
            existing = self._store.pool(name, spec.id)
            if existing is None:
                pool = making.make_pool(self._store, name, spec, self._clock())
            else:
                pool = self._change_to(existing[0], replace(spec, id=existing[0].id))
        self._scheduler.notify()
        return pool

    def _change_to(self, pool: Pool, spec: PoolSpec) -> Pool:
        now = self._clock()
        if pool.state is PoolState.DELETING:
            raise refusal("PoolBeingDeleted", where=f"pool {pool.id}")
        if spec.formula is not None:
            nodes, spot = pool.spec.target_nodes, pool.spec.low_priority_nodes
            self._store.put_pool(pool.account, replace(spec, target_nodes=nodes, low_priority_nodes=spot), now)
            return self.pool(pool.account, pool.id)
        self._store.put_pool(pool.account, spec, now)
        found = self.pool(pool.account, pool.id)
        return resizing.change_size(self._store, found, spec.dedicated_nodes, spec.low_priority_nodes, "requeue", now)

    def pools(self, account: str) -> list[Pool]:
        """The pools of an account, by id."""
        return self._store.pools(self._name(account))

    def list_pools(self, account: str, after: str | None = None) -> Iterable[Pool]:
        """The pools of an account by id, those after the id `after`."""
        return self._store.pools(self._name(account), after or "")

    def autoscale_run(self, account: str, pool: str) -> dict[str, Any] | None:
        """The service's AutoScaleRun of the pool's last evaluation."""
        from kyanite.batch import autoscale_turn

        found = self.pool(account, pool)
        return autoscale_turn.last_run(self._store, found.account, found.id)

    # ---- changing a pool

    def patch_pool(
        self, account: str, pool: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Pool:
        """Replace the properties that are given. Some can only be changed while the pool has no nodes."""
        given = {name: value for name, value in document.items() if value is not None}

        def change(found: Pool) -> dict[str, Any]:
            fixed = [name for name in given if name in ("id", "enableAutoScale") or name.startswith(("target", "auto"))]
            fixed = [name for name in fixed if name not in _ALWAYS]
            if fixed:
                raise refusal("PropertyNotUpdatable", f"'{fixed[0]}' cannot be patched.", PropertyName=fixed[0])
            has_nodes = bool(found.current_dedicated + found.current_low_priority)
            needs_none = [name for name in given if name in _WITHOUT_NODES]
            if needs_none and has_nodes:
                reason = f"'{needs_none[0]}' can be changed only while the pool has no nodes."
                raise refusal("PoolNotEligibleForOperation", reason)
            return {**found.spec.document, **given}

        return self._change_pool(account, pool, change, conditions)

    def update_pool(
        self, account: str, pool: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Pool:
        """Replace start task, metadata and package references as a whole; what is not given is removed."""

        def change(found: Pool) -> dict[str, Any]:
            kept = {name: value for name, value in found.spec.document.items() if name not in _REPLACED}
            return {**kept, **{name: value for name, value in document.items() if value is not None}}

        return self._change_pool(account, pool, change, conditions, replaces=True)

    def _change_pool(
        self,
        account: str,
        pool: str,
        change: Callable[[Pool], dict[str, Any]],
        conditions: Conditions,
        replaces: bool = False,
    ) -> Pool:
        with self._begin():
            found = self._met(account, pool, conditions)
            document = change(found)
            check_references(self._store, found.account, document)
            spec = read_pool(document)
            start = spec.start_task
            if "startTask" not in {**document, **found.spec.document} and not replaces:
                start = found.spec.start_task  # it has files that no document can hold
            kept = replace(
                spec,
                start_task=start,
                backend=found.spec.backend,
                target_nodes=found.spec.target_nodes,
                low_priority_nodes=found.spec.low_priority_nodes,
            )
            self._remember_users(found.account, kept)
            self._store.put_pool(found.account, kept, self._clock())
        self._scheduler.notify()
        return self.pool(account, pool)

    def _met(self, account: str, pool: str, conditions: Conditions) -> Pool:
        found = self._living_pool(account, pool)
        conditions.check(
            etag(found.version, found.modified_at or found.created_at), found.modified_at or found.created_at
        )
        return found

    def delete_pool(self, account: str, pool: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Begin to delete a pool: its tasks go back to waiting, it is gone once its nodes are."""
        with self._begin():
            found = self._met(account, pool, conditions)
            making.begin_deletion(self._store, found, self._clock())
        self._scheduler.notify()

    # ---- size

    def resize_pool(
        self, account: str, pool: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Pool:
        """Begin a resize; only of a steady pool without autoscale."""
        option = choice(document, "nodeDeallocationOption", resizing.DEALLOCATIONS, "requeue")
        timeout = read_resize_timeout(document)
        if document.get("targetDedicatedNodes") is None and document.get("targetLowPriorityNodes") is None:
            raise missing("targetDedicatedNodes")
        with self._begin():
            found = self._steady(account, pool, conditions)
            dedicated = whole(document, "targetDedicatedNodes", found.spec.dedicated_nodes, least=0)
            spot = whole(document, "targetLowPriorityNodes", found.spec.low_priority_nodes, least=0)
            changed = resizing.change_size(self._store, found, dedicated, spot, option, self._clock(), timeout=timeout)
        self._scheduler.notify()
        return changed

    def _steady(self, account: str, pool: str, conditions: Conditions, *, autoscale: bool = False) -> Pool:
        found = self._met(account, pool, conditions)
        if found.spec.formula is not None and not autoscale:
            raise refusal("PoolNotEligibleForOperation", "Autoscale is enabled on the pool.")
        if found.allocation is not AllocationState.STEADY:
            raise refusal("PoolBeingResized", where=f"pool {found.id}")
        return found

    def stop_resize(self, account: str, pool: str, *, conditions: Conditions = NO_CONDITIONS) -> Pool:
        """Stop a resize: the pool stays as large as it is."""
        with self._begin():
            found = self._met(account, pool, conditions)
            if found.allocation is not AllocationState.RESIZING:
                raise refusal("OperationInvalidForCurrentState", "The pool is not being resized.")
            stopped = resizing.stop(self._store, found, self._clock())
        self._scheduler.notify()
        return stopped

    def remove_nodes(
        self, account: str, pool: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Pool:
        """Begin to remove the nodes of `nodeList`; the targets go down by as many."""
        option = choice(document, "nodeDeallocationOption", resizing.DEALLOCATIONS, "requeue")
        wanted = [str(item).casefold() for item in items(document, "nodeList", limits.NODES_PER_REMOVAL)]
        timeout = read_resize_timeout(document)
        if not wanted:
            raise missing("nodeList")
        with self._begin():
            found = self._steady(account, pool, conditions)
            rows = {row.node.id.casefold(): row for row in self._store.nodes(found)}
            for node in wanted:
                if node not in rows:
                    raise refusal("NodeNotFound", f"The pool has no node '{node}'.")
            changed = resizing.remove(
                self._store, found, [rows[node] for node in dict.fromkeys(wanted)], option, self._clock(), timeout
            )
        self._scheduler.notify()
        return changed

    # ---- autoscale

    def enable_autoscale(
        self, account: str, pool: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Pool:
        """Enable autoscale or change its formula or interval; the first evaluation follows at once."""
        from kyanite.batch import autoscale_turn

        formula, interval = text(document, "autoScaleFormula"), read_interval(document)
        self._check_formula(formula)
        now = self._clock()
        with self._begin():
            found = self._steady(account, pool, conditions, autoscale=True)
            if found.spec.formula is None and not formula:
                raise missing("autoScaleFormula")
            if formula is None and interval is None:
                raise missing("autoScaleFormula")
            self._not_too_often(found)
            spec = replace(
                found.spec,
                formula=formula or found.spec.formula,
                interval=interval or found.spec.interval,
            )
            body = {name: value for name, value in spec.document.items() if not name.startswith("target")}
            every = {"autoScaleEvaluationInterval": duration_text(spec.interval)}
            body |= {"enableAutoScale": True, "autoScaleFormula": spec.formula} | every
            self._store.put_pool(found.account, replace(spec, document=body), now)
            key = {"account": found.account.casefold(), "key": found.id.casefold()}
            self._store.change("autoscale_enabled", at=time_text(now), **key)
            autoscale_turn.restart(self._store, found.account, found.id, now)
        self._scheduler.notify()
        return self.pool(account, pool)

    def _not_too_often(self, pool: Pool) -> None:
        key = {"account": pool.account.casefold(), "key": pool.id.casefold()}
        last = read_time(self._store.rows("pool", **key)[0]["autoscale_enabled_at"])
        if last is not None and self._clock() < last + timedelta(seconds=limits.AUTOSCALE_ENABLE_SECONDS):
            raise refusal("AutoScaleTooManyRequestsToEnable")

    def disable_autoscale(self, account: str, pool: str, *, conditions: Conditions = NO_CONDITIONS) -> Pool:
        """Disable autoscale; the pool stays as large as it is."""
        from kyanite.batch import autoscale_turn

        with self._begin():
            found = self._steady(account, pool, conditions, autoscale=True)
            spec = found.spec
            body = {name: value for name, value in spec.document.items() if "utoScale" not in name}
            body["targetDedicatedNodes"] = spec.dedicated_nodes
            body["targetLowPriorityNodes"] = spec.low_priority_nodes
            self._store.put_pool(found.account, replace(spec, formula=None, document=body), self._clock())
            autoscale_turn.forget(self._store, found.account, found.id, samples=False)
        self._scheduler.notify()
        return self.pool(account, pool)

    def evaluate_autoscale(self, account: str, pool: str, document: Document) -> dict[str, Any]:
        """The service's AutoScaleRun of a formula on the pool as it is now; nothing is changed."""
        from kyanite.batch import autoscale_turn

        formula = text(document, "autoScaleFormula")
        if not formula:
            raise missing("autoScaleFormula")
        self._check_formula(formula)
        found = self._living_pool(account, pool)
        if found.spec.formula is None:
            raise refusal("PoolNotEligibleForOperation", "Autoscale is not enabled on the pool.")
        return autoscale_turn.evaluate_now(self._store, found, formula, self._clock())

    def _check_formula(self, formula: str | None) -> None:
        if formula is not None:
            from kyanite.batch import autoscale_turn

            autoscale_turn.check_formula(formula)

    def node_counts(self, account: str, pool: str | None = None) -> list[dict[str, Any]]:
        """The service's node counts of each pool, by state and kind of node."""
        from kyanite.batch.counting import count_nodes

        name = self._name(account)
        rows = self._store.rows("node_counts", account=name.casefold())
        pools = self._store.pools(name) if pool is None else [self.pool(name, pool)]
        return count_nodes(pools, [dict(row) for row in rows])
