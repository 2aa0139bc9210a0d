"""The operations on tasks."""

from __future__ import annotations

from typing import Any

from kyanite import limits
from kyanite.batch import wire
from kyanite.batch.rows import FACTS
from kyanite.errors import BatchError, KyaniteError
from kyanite.server.batch.filters import comparisons, fixed
from kyanite.server.batch.options import conditions_of, one, page, read_filter
from kyanite.server.batch.protocol import Call, Reply, error_json, status_of


def add(call: Call) -> Reply:
    """Task_Add."""
    task = call.service.add_task(call.account, call.parameters["jobId"], call.body)
    return Reply(None, wire.task_json(task, call.base))


def add_collection(call: Call) -> Reply:
    """Task_AddCollection: one result for each task, in the order they were given."""
    size = call.request.content_length
    value = call.body.get("value")
    if not isinstance(value, list):
        raise BatchError("The body has no list 'value' of tasks.", code="InvalidRequestBody")
    if len(value) > limits.TASKS_PER_REQUEST or (size is not None and size > limits.TASK_COLLECTION_BYTES):
        raise BatchError(
            f"A collection has at most {limits.TASKS_PER_REQUEST} tasks and {limits.TASK_COLLECTION_BYTES:,} bytes.",
            code="RequestBodyTooLarge",
        )
    results = call.service.add_tasks(call.account, call.parameters["jobId"], value)
    shown = [_result(call, document, result) for document, result in zip(value, results, strict=True)]
    return Reply({"value": shown}, {}, kind="taskaddresult")


def list_all(call: Call) -> Reply:
    """Task_List, in the order the tasks were added."""
    job = call.parameters["jobId"]
    condition = read_filter(call, "tasks")
    wanted = fixed(condition)
    known = condition is not None and all(part.path[0] in FACTS for part in comparisons(condition))
    keep = condition.matches if condition is not None and known else None
    return page(
        call,
        "tasks",
        lambda after: call.service.list_tasks(call.account, job, after, **wanted, keep=keep),
        lambda task: wire.task_json(task, call.base),
        lambda task: task.id.casefold(),
        "tasks",
    )


def get(call: Call) -> Reply:
    """Task_Get."""
    return one(call, wire.task_json(call.service.get_task(*_names(call)), call.base), "tasks")


def replace(call: Call) -> Reply:
    """Task_Update: only the constraints of a task can change."""
    task = call.service.update_task(*_names(call), call.body, conditions=conditions_of(call))
    return Reply(None, wire.task_json(task, call.base))


def delete(call: Call) -> Reply:
    """Task_Delete, with its files."""
    call.service.delete_task(*_names(call), conditions=conditions_of(call))
    return Reply()


def terminate(call: Call) -> Reply:
    """Task_Terminate."""
    call.service.terminate_task(*_names(call), conditions=conditions_of(call))
    return _same(call)


def reactivate(call: Call) -> Reply:
    """Task_Reactivate."""
    call.service.reactivate_task(*_names(call), conditions=conditions_of(call))
    return _same(call)


def list_subtasks(call: Call) -> Reply:
    """Task_ListSubtasks: always all of them, without pages."""
    subtasks = call.service.list_subtasks(*_names(call))
    return Reply({"value": list(subtasks)}, {}, kind="subtasks")


def _names(call: Call) -> tuple[str, str, str]:
    return call.account, call.parameters["jobId"], call.parameters["taskId"]


def _same(call: Call) -> Reply:
    return Reply(None, wire.task_json(call.service.get_task(*_names(call)), call.base))


def _result(call: Call, document: Any, result: Any) -> dict[str, Any]:
    """One line of a collection's answer: the task that was made, or the error that kept it from it."""
    given = str(document.get("id", "")) if isinstance(document, dict) else ""
    if isinstance(result, KyaniteError):
        status = "ServerError" if status_of(result) >= 500 else "ClientError"
        return {"status": status, "taskId": given, "error": error_json(result)}
    task = wire.task_json(result, call.base)
    names = {"eTag": "eTag", "lastModified": "lastModified", "location": "url"}
    return {"status": "Success", "taskId": task["id"], **{name: task[of] for name, of in names.items()}}
