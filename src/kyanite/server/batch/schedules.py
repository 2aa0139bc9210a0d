"""The operations on job schedules."""

from __future__ import annotations

from kyanite.batch import wire
from kyanite.batch.model import Schedule
from kyanite.server.batch.options import conditions_of, one, page
from kyanite.server.batch.protocol import Call, Reply


def add(call: Call) -> Reply:
    """JobSchedule_Add."""
    return _changed(call, call.service.add_schedule(call.account, call.body))


def list_all(call: Call) -> Reply:
    """JobSchedule_List."""
    return page(
        call,
        "jobschedules",
        lambda after: call.service.list_schedules(call.account, after=after),
        lambda schedule: wire.schedule_json(schedule, call.base),
        lambda schedule: schedule.id.casefold(),
        "jobschedules",
    )


def get(call: Call) -> Reply:
    """JobSchedule_Get and JobSchedule_Exists."""
    schedule = call.service.get_schedule(*_names(call))
    return one(call, wire.schedule_json(schedule, call.base), "jobschedules")


def patch(call: Call) -> Reply:
    """JobSchedule_Patch."""
    return _changed(call, call.service.patch_schedule(*_names(call), call.body, conditions=conditions_of(call)))


def replace(call: Call) -> Reply:
    """JobSchedule_Update."""
    return _changed(call, call.service.update_schedule(*_names(call), call.body, conditions=conditions_of(call)))


def delete(call: Call) -> Reply:
    """JobSchedule_Delete."""
    call.flag("force")
    call.service.delete_schedule(*_names(call), conditions=conditions_of(call))
    return Reply()


def disable(call: Call) -> Reply:
    """JobSchedule_Disable."""
    call.service.disable_schedule(*_names(call), conditions=conditions_of(call))
    return _changed(call, call.service.get_schedule(*_names(call)))


def enable(call: Call) -> Reply:
    """JobSchedule_Enable."""
    call.service.enable_schedule(*_names(call), conditions=conditions_of(call))
    return _changed(call, call.service.get_schedule(*_names(call)))


def terminate(call: Call) -> Reply:
    """JobSchedule_Terminate."""
    call.flag("force")
    call.service.terminate_schedule(*_names(call), conditions=conditions_of(call))
    return _changed(call, call.service.get_schedule(*_names(call)))


def list_jobs(call: Call) -> Reply:
    """Job_ListFromJobSchedule."""
    return page(
        call,
        "jobs",
        lambda after: call.service.jobs_of_schedule(*_names(call), after=after),
        lambda job: wire.job_json(job, call.base),
        lambda job: job.id.casefold(),
        "jobs",
    )


def _names(call: Call) -> tuple[str, str]:
    return call.account, call.parameters["jobScheduleId"]


def _changed(call: Call, schedule: Schedule) -> Reply:
    return Reply(None, wire.schedule_json(schedule, call.base))
