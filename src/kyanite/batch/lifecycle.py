"""What jobs, schedules and pools do by themselves: called once in each turn, in its transaction.

A row says that it wants to be looked at (`attention`) or when (`deadline`, `next_run`), so a turn costs as much as
there is to do, not as much as there is. Batch reference sections 2.2, 7, 8 and 9.
"""

from __future__ import annotations

from datetime import datetime

from kyanite.batch import job_nodes, job_rules, making, resizing, schedules
from kyanite.batch.job_nodes import attempt_ended as attempt_ended
from kyanite.batch.job_nodes import launch_of as launch_of
from kyanite.batch.job_nodes import ready_on as ready_on
from kyanite.batch.model import Job, JobState, PoolState, TaskState
from kyanite.batch.reading import part, truth
from kyanite.batch.store import Store, time_text


def step(store: Store, now: datetime) -> bool:
    """Move what is due; whether anything moved."""
    moved = False
    at = time_text(now)
    for row in store.rows("jobs_over_time", at=at):
        job = store.job(row["account"], row["key"])
        if job is not None:
            end_job(store, job, "MaxWallClockTimeExpiry", now)
            moved = True
    for row in store.rows("jobs_to_look_at"):
        store.change("looked_at", account=row["account"], key=row["key"])
        job = store.job(row["account"], row["key"])
        if job is not None:
            moved |= advance_job(store, job, now, row["action"])
    for row in store.rows("schedules_due", at=at):
        moved |= schedules.advance(store, row["account"], row["key"], now)
    for row in store.rows("changing_pools"):
        found = store.pool(row["account"], row["key"])
        if found is not None and found[0].state is PoolState.ACTIVE:
            moved |= resizing.settle(store, found[0], now).allocation is not found[0].allocation
    return moved


def end_job(store: Store, job: Job, reason: str, now: datetime) -> None:
    """Terminate a job for a reason of the service's own."""
    ending = job_rules.terminated(job, reason, now)
    store.move_job(ending, attention=True)
    advance_job(store, ending, now)


def advance_job(store: Store, job: Job, now: datetime, action: str | None = None) -> bool:
    """Take the steps that a job can take now; whether there was one."""
    match job.state:
        case JobState.ACTIVE:
            return _advance_active(store, job, now, action)
        case JobState.ENABLING:
            store.move_job(job_rules.moved(job, JobState.ACTIVE, now), attention=True)
            return True
        case JobState.DISABLING:
            return _advance_disabling(store, job, now)
        case JobState.TERMINATING | JobState.DELETING:
            return _advance_ending(store, job, now)
        case _:
            return False


def _advance_active(store: Store, job: Job, now: datetime, action: str | None) -> bool:
    reason = _reason_to_end(store, job, action)
    if reason is not None:
        end_job(store, job, reason, now)
        return True
    if action == "disable":
        disabling = job_rules.disabled(job, "requeue", now)
        store.move_job(disabling, attention=True)
        advance_job(store, disabling, now)
        return True
    return False


def _reason_to_end(store: Store, job: Job, action: str | None) -> str | None:
    """Why an active job ends by itself; None when it goes on."""
    manager = part(job.document, "jobManagerTask")
    if manager and truth(manager, "killJobOnCompletion", True):
        found = store.task(job.account, job.id, str(manager.get("id")))
        if found is not None and found[1].state is TaskState.COMPLETED:
            return "JMComplete"
    if action == "terminate":
        return "TaskFailed"
    place = {"account": job.account.casefold(), "job": job.id.casefold()}
    if job.on_all_complete == "terminatejob" and not store.rows("unfinished_tasks", **place)[0]["n"]:
        return "AllTasksComplete"
    return None


def _advance_disabling(store: Store, job: Job, now: datetime) -> bool:
    if job.disable_option != "wait":
        _stop_tasks(store, job, "Requeued" if job.disable_option == "requeue" else "TaskEnded")
    place = {"account": job.account.casefold(), "job": job.id.casefold()}
    if store.rows("open_tasks_of_job", **place)[0]["n"]:
        return False
    store.move_job(job_rules.moved(job, JobState.DISABLED, now), attention=False)
    return True


def _stop_tasks(store: Store, job: Job, reason: str) -> None:
    place = {"account": job.account.casefold(), "job": job.id.casefold()}
    store.change("stop_tasks_of_job", reason=reason, **place)
    store.change("stop_attempts_of_job", **place)


def _advance_ending(store: Store, job: Job, now: datetime) -> bool:
    """Tasks are ended, then the release runs on each node, then the job is completed or can be dropped."""
    place = {"account": job.account.casefold(), "job": job.id.casefold()}
    _stop_tasks(store, job, "TaskEnded")
    if store.rows("open_work_of_job", **place)[0]["n"]:
        return False
    if job_nodes.begin_releases(store, job, now):
        return False
    if job.schedule is not None:
        store.change("watch_schedule", account=place["account"], key=job.schedule)
    if job.auto_pool:
        making.drop_auto_pool(store, job.account, f"job/{job.id}", making.keeps_pool(job), now)
    if job.state is JobState.DELETING:
        store.change("job_can_go", **place)
        return True
    store.move_job(job_rules.completed(job, now), attention=False)
    return True
