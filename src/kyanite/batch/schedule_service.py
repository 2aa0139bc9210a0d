"""The verbs on job schedules. Batch reference section 9."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

from kyanite import limits
from kyanite.batch import job_rules, schedules
from kyanite.batch.codes import refusal
from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.batch.model import Job, Schedule, ScheduleState, etag
from kyanite.batch.reading import Document
from kyanite.batch.rows import job_of, schedule_of
from kyanite.batch.service_base import ServiceBase

_CHANGEABLE = ("jobSpecification", "metadata", "schedule")


class ScheduleService(ServiceBase):
    """The verbs on job schedules."""

    def add_schedule(self, account: str, document: Document) -> Schedule:
        """Make a schedule from the body of `POST /jobschedules`; its first job is made when it is due."""
        name = self._name(account)
        schedule = schedules.read_schedule(name, document, self._clock())
        with self._begin():
            if self._store.schedule(name, schedule.id) is not None:
                raise refusal("JobScheduleExists", where=f"job schedule {schedule.id}")
            if self._store.job(name, schedule.id) is not None:
                raise refusal("JobWithSameIdExists", where=f"job schedule {schedule.id}")
            if self._store.rows("active_jobs", account=name.casefold())[0]["n"] >= limits.ACTIVE_JOBS_PER_ACCOUNT:
                raise refusal("ActiveJobAndScheduleQuotaReached")
            self._store.put_schedule(schedule)
        self._scheduler.notify()
        return self.get_schedule(account, schedule.id)

    def list_schedules(self, account: str, after: str | None = None) -> Iterable[Schedule]:
        """The schedules of an account by id, those after the id `after`."""
        rows = self._store.rows(
            "schedules", account=self._name(account).casefold(), after=(after or "").casefold(), limit=-1
        )
        return [schedule_of(row, self._vault) for row in rows]

    def jobs_of_schedule(self, account: str, schedule: str, after: str | None = None) -> Iterable[Job]:
        """The jobs that a schedule made, by id."""
        found = self.get_schedule(account, schedule)
        place = {"account": found.account.casefold(), "schedule": found.id.casefold()}
        rows = self._store.rows("jobs_of_schedule", after=(after or "").casefold(), limit=-1, **place)
        return [job_of(row, self._vault) for row in rows]

    def patch_schedule(
        self, account: str, schedule: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Schedule:
        """Replace the properties that are given; a running job is not changed."""
        given = {name: value for name, value in document.items() if value is not None}
        wrong = [name for name in given if name not in _CHANGEABLE]
        if wrong:
            raise refusal("PropertyNotUpdatable", f"'{wrong[0]}' cannot be patched.", PropertyName=wrong[0])
        return self._change_schedule(account, schedule, lambda body: {**body, **given}, conditions)

    def update_schedule(
        self, account: str, schedule: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Schedule:
        """Replace schedule, job specification and metadata as a whole."""
        given = {name: document[name] for name in _CHANGEABLE if document.get(name) is not None}

        def change(body: dict[str, Any]) -> dict[str, Any]:
            return {**{name: value for name, value in body.items() if name not in _CHANGEABLE}, **given}

        return self._change_schedule(account, schedule, change, conditions)

    def _change_schedule(
        self,
        account: str,
        schedule: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        conditions: Conditions,
    ) -> Schedule:
        now = self._clock()
        with self._begin():
            found = self._met_schedule(account, schedule, conditions)
            job_rules.check_schedule_changeable(found)
            fresh = schedules.read_schedule(found.account, change(dict(found.document)), now)
            timed = fresh.document.get("schedule") != found.document.get("schedule")
            changed = replace(
                found,
                document=fresh.document,
                next_run=fresh.next_run if timed else found.next_run,
                version=found.version + 1,
                modified_at=now,
            )
            self._store.put_schedule(changed)
        self._scheduler.notify()
        return self.get_schedule(account, schedule)

    def _met_schedule(self, account: str, schedule: str, conditions: Conditions) -> Schedule:
        found = self.get_schedule(account, schedule)
        changed = found.modified_at or found.created_at
        conditions.check(etag(found.version, changed), changed)
        return found

    def disable_schedule(self, account: str, schedule: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Make no further jobs for now."""

        def rule(found: Schedule, at: datetime) -> Schedule:
            if found.state is ScheduleState.DISABLED:
                raise refusal("JobScheduleDisabled", where=f"job schedule {found.id}")
            return job_rules.schedule_moved(found, ScheduleState.DISABLED, at)

        self._move_schedule(account, schedule, conditions, rule)

    def enable_schedule(self, account: str, schedule: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Make jobs again."""

        def rule(found: Schedule, at: datetime) -> Schedule:
            if found.state is not ScheduleState.DISABLED:
                raise refusal("JobScheduleNotDisabled", where=f"job schedule {found.id}")
            return job_rules.schedule_moved(found, ScheduleState.ACTIVE, at)

        self._move_schedule(account, schedule, conditions, rule)

    def terminate_schedule(self, account: str, schedule: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Begin to end a schedule with its job."""
        self._move_schedule(
            account,
            schedule,
            conditions,
            lambda found, at: job_rules.schedule_moved(found, ScheduleState.TERMINATING, at),
        )

    def delete_schedule(self, account: str, schedule: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Begin to delete a schedule with its jobs."""
        with self._begin():
            found = self._met_schedule(account, schedule, conditions)
            if found.state is ScheduleState.DELETING:
                raise refusal("JobScheduleBeingDeleted", where=f"job schedule {found.id}")
            self._store.put_schedule(job_rules.schedule_moved(found, ScheduleState.DELETING, self._clock()))
        self._scheduler.notify()

    def _move_schedule(
        self,
        account: str,
        schedule: str,
        conditions: Conditions,
        rule: Callable[[Schedule, datetime], Schedule],
    ) -> None:
        with self._begin():
            found = self._met_schedule(account, schedule, conditions)
            job_rules.check_schedule_changeable(found)
            self._store.put_schedule(rule(found, self._clock()))
        self._scheduler.notify()
