"""What follows from how a task ended: for its dependents and for its job. Batch reference sections 7 and 16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kyanite.batch.codes import wrong_value
from kyanite.batch.model import Task
from kyanite.batch.reading import Document, choice, objects, part, whole

_JOB_ACTIONS = ("none", "disable", "terminate")
_DEPENDENCY_ACTIONS = ("satisfy", "block")
_SINGLE = ("preProcessingError", "fileUploadError", "default")


@dataclass(frozen=True)
class ExitOptions:
    """`job_action` is none, disable or terminate; `satisfies` whether dependents may start."""

    job_action: str
    satisfies: bool


def check_exit_conditions(document: Document, on_failure: str) -> None:
    """BatchError for exit conditions that cannot be, or that name a job action which the job does not allow."""
    for options in _all_options(part(document, "exitConditions")):
        action = choice(options, "jobAction", _JOB_ACTIONS, "none")
        choice(options, "dependencyAction", _DEPENDENCY_ACTIONS, "block")
        if options.get("jobAction") is not None and action != "none" and on_failure == "noaction":
            raise wrong_value("jobAction", action, "The job's onTaskFailure must be performexitoptionsjobaction.")


def _all_options(conditions: Document) -> list[Document]:
    found = [part(item, "exitOptions") for item in objects(conditions, "exitCodes") if _has(item, "code")]
    for item in objects(conditions, "exitCodeRanges"):
        if _has(item, "start") and whole(item, "start", 0) > whole(item, "end", 0):
            raise wrong_value("exitCodeRanges", item.get("start"), "The end must not be below the start.")
        found.append(part(item, "exitOptions"))
    return found + [part(conditions, name) for name in _SINGLE]


def _has(item: Document, name: str) -> bool:
    whole(item, name, 0)
    return item.get(name) is not None


def options_of(task: Task) -> ExitOptions:
    """The options that apply to a completed task.

    Pre-processing error, then exact exit code, range, upload error, default; `default` never covers exit code 0.
    """
    conditions = part(task.spec.document, "exitConditions")
    succeeded = task.result == "success"
    given = _given(task, conditions)
    job_action = choice(given or {}, "jobAction", _JOB_ACTIONS, "none" if succeeded else "terminate")
    if given is not None and given.get("jobAction") is None:
        job_action = "none" if succeeded else "terminate"
    dependency = choice(given or {}, "dependencyAction", _DEPENDENCY_ACTIONS, "satisfy" if succeeded else "block")
    return ExitOptions(job_action, dependency == "satisfy")


def _given(task: Task, conditions: Mapping[str, Any]) -> Document | None:
    default = conditions.get("default")
    if task.exit_code is None:
        ran = task.failure_info is not None and task.failure_info.code == "TaskEnded"
        return default if ran else conditions.get("preProcessingError") or default
    for item in objects(conditions, "exitCodes"):
        if whole(item, "code", 0) == task.exit_code:
            return part(item, "exitOptions")
    for item in objects(conditions, "exitCodeRanges"):
        if whole(item, "start", 0) <= task.exit_code <= whole(item, "end", 0):
            return part(item, "exitOptions")
    upload = task.failure_info is not None and task.failure_info.code.startswith("FileUpload")
    if upload:
        return conditions.get("fileUploadError") or default
    return default if task.exit_code else None
