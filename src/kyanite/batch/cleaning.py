"""Pools and jobs that were deleted: their folders go first, then their rows. Outside of the turn's transaction."""

from __future__ import annotations

from collections.abc import Callable

from kyanite.batch.pools import Key, Place, PoolBackend
from kyanite.batch.store import Store, read_attempt

Backends = Callable[[str], PoolBackend]


def step(store: Store, backend: Backends) -> bool:
    """Drop what is ready to go; whether there was something."""
    moved = False
    for row in store.rows("empty_deleting_pools"):
        moved |= _drop_pool(store, backend, row["account"], row["key"])
    for row in store.rows("jobs_to_drop"):
        moved |= _drop_job(store, backend, row["account"], row["key"])
    return moved


def _drop_pool(store: Store, backend: Backends, account: str, key: str) -> bool:
    found, owner = store.pool(account, key), store.account(account)
    if found is None or owner is None:
        return False
    from kyanite.batch import autoscale_turn

    backend(found[0].spec.backend).delete_pool(owner.name, found[0].id)
    with store.database.transaction():
        autoscale_turn.forget(store, account, key)
        store.change("drop_pool", account=account, key=key)
    return True


def _drop_job(store: Store, backend: Backends, account: str, key: str) -> bool:
    job, owner = store.job(account, key), store.account(account)
    if job is None or owner is None:
        return False
    place = {"account": account, "job": key}
    for row in store.rows("places_of_job", **place):
        found = store.pool(account, row["pool"])
        if found is not None:
            where = Place(owner.name, found[0].id, row["node"])
            backend(found[0].spec.backend).files(where).remove(("workitems", job.id))
    for attempt in [read_attempt(row) for row in store.rows("attempts_of_job", **place)]:
        found = store.pool(account, attempt.pool)
        if found is not None:
            where = Place(owner.name, found[0].id, attempt.node)
            backend(found[0].spec.backend).forget(Key(where, attempt.id))
    with store.database.transaction():
        for statement in ("attempts", "tasks", "dependencies", "satisfied", "nodes"):
            store.change(f"drop_job_{statement}", **place)
        store.change("drop_prep_attempts", **place)
        store.change("drop_job", **place)
        if job.schedule is not None:
            store.change("watch_schedule", account=account, key=job.schedule)
    return True
