"""Making pools and jobs, for whoever asks: a client, a deployment, a job schedule. Call inside a transaction."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime

from kyanite import limits
from kyanite.batch import resizing
from kyanite.batch.applications import check_references
from kyanite.batch.codes import refusal
from kyanite.batch.documents import read_pool, read_task
from kyanite.batch.model import AllocationState, Failing, Job, JobState, Pool, PoolSpec, PoolState
from kyanite.batch.reading import choice, part, text, truth, whole
from kyanite.batch.store import Store
from kyanite.errors import InvariantError, KyaniteError


def make_pool(store: Store, account: str, spec: PoolSpec, now: datetime, auto_for: str | None = None) -> Pool:
    """Write a pool and size it; PoolExists, PoolBeingDeleted or PoolQuotaReached when it cannot be."""
    existing = store.pool(account, spec.id)
    if existing is not None:
        deleting = existing[0].state is PoolState.DELETING
        raise refusal("PoolBeingDeleted" if deleting else "PoolExists", where=f"pool {spec.id}")
    if len(store.pools(account)) >= limits.POOLS_PER_ACCOUNT:
        raise refusal("PoolQuotaReached", f"An account can have {limits.POOLS_PER_ACCOUNT} pools.")
    store.put_pool(account, spec, now)
    made = store.pool(account, spec.id)
    if made is None:
        raise InvariantError(f"Pool '{spec.id}' vanished while it was made.")
    pool = replace(made[0], auto_for=auto_for)
    if spec.formula is None:
        return resizing.change_size(store, pool, spec.dedicated_nodes, spec.low_priority_nodes, "requeue", now)
    from kyanite.batch import autoscale_turn

    store.move_pool(pool)
    autoscale_turn.restart(store, account, spec.id, now)
    return pool


def begin_deletion(store: Store, pool: Pool, now: datetime) -> None:
    """Mark a pool as being deleted: its tasks go back to waiting, it is gone once its nodes are."""
    for row in store.nodes(pool):
        resizing.leave(store, pool, row, "requeue")
    deleting = replace(pool, state=PoolState.DELETING, state_since=now, resize_errors=())
    store.move_pool(replace(deleting, allocation=AllocationState.RESIZING, allocation_since=now))


def make_job(store: Store, job: Job, now: datetime) -> Job:
    """Write a job, with its auto pool and its job manager task; JobExists when there is one of that id."""
    active = store.rows("active_jobs", account=job.account.casefold())[0]["n"]
    if active >= limits.ACTIVE_JOBS_PER_ACCOUNT:
        most = limits.ACTIVE_JOBS_PER_ACCOUNT
        raise refusal("ActiveJobAndScheduleQuotaReached", f"An account can have {most} active jobs and schedules.")
    existing = store.job(job.account, job.id)
    if existing is not None:
        deleting = existing.state is JobState.DELETING
        raise refusal("JobBeingDeleted" if deleting else "JobExists", where=f"job {job.id}")
    for name in ("jobManagerTask", "jobPreparationTask"):
        check_references(store, job.account, part(job.document, name))
    if job.auto_pool:
        job = _with_auto_pool(store, job, now)
    found = store.pool(job.account, job.pool_id)
    job = replace(job, pool_id=found[0].id if found else job.pool_id)
    store.put_job(job)
    if job.document.get("jobManagerTask") and job.state is JobState.ACTIVE:
        _add_manager(store, job, found[0] if found else None, now)
    made = store.job(job.account, job.id)
    if made is None:
        raise InvariantError(f"Job '{job.id}' vanished while it was made.")
    return made


def _add_manager(store: Store, job: Job, pool: Pool | None, now: datetime) -> None:
    """The job manager is a task; with `runExclusive` it takes all slots of its node."""
    body = part(job.document, "jobManagerTask")
    spec = read_task(body, whole(part(job.document, "constraints"), "maxTaskRetryCount", 0))
    if truth(body, "runExclusive", True) and pool is not None:
        spec = replace(spec, required_slots=pool.spec.slots_per_node)
    store.put_task(job.account, job, spec, now)


def _with_auto_pool(store: Store, job: Job, now: datetime) -> Job:
    """The job with the pool made for it, or completed with the reason why there is none."""
    auto = part(part(job.document, "poolInfo"), "autoPoolSpecification")
    lasting = choice(auto, "poolLifetimeOption", ("job", "jobschedule"), "job") == "jobschedule"
    owner = f"schedule/{job.schedule.casefold()}" if lasting and job.schedule else f"job/{job.id}"
    for pool in store.pools(job.account) if lasting else ():
        if pool.auto_for == owner and pool.state is PoolState.ACTIVE:
            return replace(job, pool_id=pool.id)
    prefix = text(auto, "autoPoolIdPrefix") or ""
    pool_id = f"{prefix}_{uuid.uuid4()}" if prefix else str(uuid.uuid4())
    try:
        spec = read_pool({**part(auto, "pool"), "id": pool_id})
        check_references(store, job.account, spec.document)
        return replace(job, pool_id=make_pool(store, job.account, spec, now, owner).id)
    except KyaniteError as error:
        failing = Failing("AutoPoolCreationFailed", error.message)
        return replace(job, state=JobState.COMPLETED, state_since=now, end_time=now, scheduling_error=failing)


def drop_auto_pool(store: Store, account: str, owner: str, keep_alive: bool, now: datetime) -> None:
    """Delete the pool that lived for a job or schedule, unless it is to be kept."""
    if keep_alive:
        return
    for pool in store.pools(account):
        if pool.auto_for == owner and pool.state is PoolState.ACTIVE:
            begin_deletion(store, pool, now)


def keeps_pool(job: Job) -> bool:
    """Whether the auto pool of a job is to outlive it."""
    auto = part(part(job.document, "poolInfo"), "autoPoolSpecification")
    lasting = choice(auto, "poolLifetimeOption", ("job", "jobschedule"), "job") == "jobschedule"
    return lasting or truth(auto, "keepAlive", False)
