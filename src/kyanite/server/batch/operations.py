"""Every operation of the Batch service in one table: routing, refusals and the page of the docs come from it.

The names are those of the service's REST reference; the paths, methods and statuses those of azure-batch 15.1 and of
the operations that only 14.2 has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from kyanite.server.batch import accounts, files, jobs, nodes, pools, schedules, tasks
from kyanite.server.batch.options import LIST
from kyanite.server.batch.protocol import Call, Reply

Handler = Callable[[Call], Reply]
Role = Literal["reader", "operator", "author"]


@dataclass(frozen=True)
class Operation:
    """One operation. Without a `handler` it is answered 501 by its name; `reason` then says why.

    `query` are the parameters it takes beside api-version and timeOut; `role` is what a Bearer token must allow.
    """

    name: str
    method: str
    path: str
    status: int
    handler: Handler | None = None
    query: frozenset[str] = field(default_factory=frozenset)
    role: Role = "reader"
    reason: str = ""

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The path's parts, words in lower case."""
        parts = self.path.removeprefix("/").split("/")
        return tuple(part if part.startswith("{") else part.lower() for part in parts)


def _get(name: str, path: str, handler: Handler | None, *query: str, reason: str = "") -> Operation:
    return Operation(name, "GET", path, 200, handler, frozenset(query), "reader", reason)


def _head(name: str, path: str, handler: Handler) -> Operation:
    return Operation(name, "HEAD", path, 200, handler)


def _list(name: str, path: str, handler: Handler | None, *query: str, reason: str = "") -> Operation:
    return Operation(name, "GET", path, 200, handler, LIST | {*query}, "reader", reason)


def _write(
    method: str,
    name: str,
    path: str,
    status: int,
    handler: Handler | None,
    *query: str,
    role: Role = "author",
    reason: str = "",
) -> Operation:
    return Operation(name, method, path, status, handler, frozenset(query), role, reason)


def _act(name: str, path: str, status: int, handler: Handler | None, *query: str, reason: str = "") -> Operation:
    return Operation(name, "POST", path, status, handler, frozenset(query), "operator", reason)


_SHOWN = ("$select", "$expand")
_FILTERED = ("$filter", "$select", "$expand")
_POOL, _NODE = "/pools/{poolId}", "/pools/{poolId}/nodes/{nodeId}"
_JOB, _TASK = "/jobs/{jobId}", "/jobs/{jobId}/tasks/{taskId}"
_SCHEDULE = "/jobschedules/{jobScheduleId}"
_NO_LOGIN = "Nobody logs in to a local node: its processes are those of this machine's user."
_NO_MACHINE = "A local node has no machine of its own to stop and start."
_CERTIFICATES = "Certificates were retired by the service; put them into resource files."
_STATISTICS = "Lifetime statistics were retired by the service."

OPERATIONS: tuple[Operation, ...] = (
    # ---- applications
    _list("Application_List", "/applications", accounts.list_applications),
    _get("Application_Get", "/applications/{applicationId}", accounts.get_application),
    # ---- pools
    _write("POST", "Pool_Add", "/pools", 201, pools.add),
    _list("Pool_List", "/pools", pools.list_all, *_FILTERED),
    _head("Pool_Exists", _POOL, pools.get),
    _get("Pool_Get", _POOL, pools.get, *_SHOWN),
    _write("PATCH", "Pool_Patch", _POOL, 200, pools.patch),
    _write("DELETE", "Pool_Delete", _POOL, 202, pools.delete),
    _act("Pool_Resize", f"{_POOL}/resize", 202, pools.resize),
    _act("Pool_StopResize", f"{_POOL}/stopresize", 202, pools.stop_resize),
    _act("Pool_RemoveNodes", f"{_POOL}/removenodes", 202, pools.remove_nodes),
    _write("POST", "Pool_UpdateProperties", f"{_POOL}/updateproperties", 204, pools.replace),
    _act("Pool_EnableAutoScale", f"{_POOL}/enableautoscale", 200, pools.enable_autoscale),
    _act("Pool_DisableAutoScale", f"{_POOL}/disableautoscale", 200, pools.disable_autoscale),
    _act("Pool_EvaluateAutoScale", f"{_POOL}/evaluateautoscale", 200, pools.evaluate_autoscale),
    _act("Pool_UpdateOS", f"{_POOL}/updateos", 202, None, reason="Cloud service pools were retired by the service."),
    _list("Pool_ListUsageMetrics", "/poolusagemetrics", accounts.usage_metrics, "starttime", "endtime", "$filter"),
    _get("Pool_GetAllLifetimeStatistics", "/lifetimepoolstats", None, reason=_STATISTICS),
    _list("Account_ListSupportedImages", "/supportedimages", accounts.supported_images, "$filter"),
    _list("Account_ListPoolNodeCounts", "/nodecounts", accounts.node_counts, "$filter"),
    # ---- nodes
    _list("ComputeNode_List", f"{_POOL}/nodes", nodes.list_all, "$filter", "$select"),
    _get("ComputeNode_Get", _NODE, nodes.get, "$select"),
    _act("ComputeNode_Reboot", f"{_NODE}/reboot", 202, nodes.reboot),
    _act("ComputeNode_Reimage", f"{_NODE}/reimage", 202, nodes.reimage),
    _act("ComputeNode_Start", f"{_NODE}/start", 202, None, reason=_NO_MACHINE),
    _act("ComputeNode_Deallocate", f"{_NODE}/deallocate", 202, None, reason=_NO_MACHINE),
    _act("ComputeNode_DisableScheduling", f"{_NODE}/disablescheduling", 200, nodes.disable_scheduling),
    _act("ComputeNode_EnableScheduling", f"{_NODE}/enablescheduling", 200, nodes.enable_scheduling),
    _get("ComputeNode_GetRemoteLoginSettings", f"{_NODE}/remoteloginsettings", None, reason=_NO_LOGIN),
    _get("ComputeNode_GetRemoteDesktop", f"{_NODE}/rdp", None, reason=_NO_LOGIN),
    _act(
        "ComputeNode_UploadBatchServiceLogs",
        f"{_NODE}/uploadbatchservicelogs",
        200,
        None,
        reason="A local node has no service logs of its own; read the server's.",
    ),
    _write("POST", "ComputeNode_AddUser", f"{_NODE}/users", 201, None, reason=_NO_LOGIN),
    _write("PUT", "ComputeNode_UpdateUser", f"{_NODE}/users/{{userName}}", 200, None, reason=_NO_LOGIN),
    _write("DELETE", "ComputeNode_DeleteUser", f"{_NODE}/users/{{userName}}", 200, None, reason=_NO_LOGIN),
    _list("ComputeNodeExtension_List", f"{_NODE}/extensions", nodes.list_extensions, "$select"),
    _get("ComputeNodeExtension_Get", f"{_NODE}/extensions/{{extensionName}}", nodes.get_extension, "$select"),
    _list("File_ListFromComputeNode", f"{_NODE}/files", files.list_of_node, "$filter", "recursive"),
    _get("File_GetFromComputeNode", f"{_NODE}/files/{{filePath}}", files.read_of_node),
    _head("File_GetPropertiesFromComputeNode", f"{_NODE}/files/{{filePath}}", files.properties_of_node),
    _write(
        "DELETE",
        "File_DeleteFromComputeNode",
        f"{_NODE}/files/{{filePath}}",
        200,
        files.delete_of_node,
        "recursive",
        role="operator",
    ),
    # ---- jobs
    _write("POST", "Job_Add", "/jobs", 201, jobs.add),
    _list("Job_List", "/jobs", jobs.list_all, *_FILTERED),
    _get("Job_Get", _JOB, jobs.get, *_SHOWN),
    _write("PATCH", "Job_Patch", _JOB, 200, jobs.patch),
    _write("PUT", "Job_Update", _JOB, 200, jobs.replace),
    _write("DELETE", "Job_Delete", _JOB, 202, jobs.delete, "force"),
    _act("Job_Disable", f"{_JOB}/disable", 202, jobs.disable),
    _act("Job_Enable", f"{_JOB}/enable", 202, jobs.enable),
    _act("Job_Terminate", f"{_JOB}/terminate", 202, jobs.terminate, "force"),
    _get("Job_GetTaskCounts", f"{_JOB}/taskcounts", jobs.task_counts),
    _list(
        "Job_ListPreparationAndReleaseTaskStatus",
        f"{_JOB}/jobpreparationandreleasetaskstatus",
        jobs.preparation_and_release,
        "$filter",
        "$select",
    ),
    _get("Job_GetAllLifetimeStatistics", "/lifetimejobstats", None, reason=_STATISTICS),
    # ---- tasks
    _write("POST", "Task_Add", f"{_JOB}/tasks", 201, tasks.add),
    _list("Task_List", f"{_JOB}/tasks", tasks.list_all, *_FILTERED),
    _write("POST", "Task_AddCollection", f"{_JOB}/addtaskcollection", 200, tasks.add_collection),
    _get("Task_Get", _TASK, tasks.get, *_SHOWN),
    _write("PUT", "Task_Update", _TASK, 200, tasks.replace),
    _write("DELETE", "Task_Delete", _TASK, 200, tasks.delete),
    _act("Task_Terminate", f"{_TASK}/terminate", 204, tasks.terminate),
    _act("Task_Reactivate", f"{_TASK}/reactivate", 204, tasks.reactivate),
    _get("Task_ListSubtasks", f"{_TASK}/subtasksinfo", tasks.list_subtasks, "$select"),
    _list("File_ListFromTask", f"{_TASK}/files", files.list_of_task, "$filter", "recursive"),
    _get("File_GetFromTask", f"{_TASK}/files/{{filePath}}", files.read_of_task),
    _head("File_GetPropertiesFromTask", f"{_TASK}/files/{{filePath}}", files.properties_of_task),
    _write(
        "DELETE",
        "File_DeleteFromTask",
        f"{_TASK}/files/{{filePath}}",
        200,
        files.delete_of_task,
        "recursive",
        role="operator",
    ),
    # ---- job schedules
    _write("POST", "JobSchedule_Add", "/jobschedules", 201, schedules.add),
    _list("JobSchedule_List", "/jobschedules", schedules.list_all, *_FILTERED),
    _head("JobSchedule_Exists", _SCHEDULE, schedules.get),
    _get("JobSchedule_Get", _SCHEDULE, schedules.get, *_SHOWN),
    _write("PATCH", "JobSchedule_Patch", _SCHEDULE, 200, schedules.patch),
    _write("PUT", "JobSchedule_Update", _SCHEDULE, 200, schedules.replace),
    _write("DELETE", "JobSchedule_Delete", _SCHEDULE, 202, schedules.delete, "force"),
    _act("JobSchedule_Disable", f"{_SCHEDULE}/disable", 204, schedules.disable),
    _act("JobSchedule_Enable", f"{_SCHEDULE}/enable", 204, schedules.enable),
    _act("JobSchedule_Terminate", f"{_SCHEDULE}/terminate", 202, schedules.terminate, "force"),
    _list("Job_ListFromJobSchedule", f"{_SCHEDULE}/jobs", schedules.list_jobs, *_FILTERED),
    # ---- retired
    _write("POST", "Certificate_Add", "/certificates", 201, None, reason=_CERTIFICATES),
    _list("Certificate_List", "/certificates", None, "$filter", "$select", reason=_CERTIFICATES),
    _get("Certificate_Get", "/certificates(", None, "$select", reason=_CERTIFICATES),
    _write("DELETE", "Certificate_Delete", "/certificates(", 202, None, reason=_CERTIFICATES),
    _act("Certificate_CancelDeletion", "/certificates(/canceldelete", 204, None, reason=_CERTIFICATES),
)
