"""Wire documents -> what we use of them. Unknown properties stay in the document; what we cannot do is refused by name.

Semantics: batch reference sections 2, 4, 7, 8, 10, 13. Nothing here looks at other objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from kyanite import limits
from kyanite.batch.codes import missing, refusal, wrong_value
from kyanite.batch.command_line import parse_command_line
from kyanite.batch.dependencies import read_dependencies
from kyanite.batch.model import Job
from kyanite.batch.outputs_spec import read_output_files
from kyanite.batch.reading import (
    Document,
    choice,
    items,
    objects,
    part,
    required,
    seconds,
    seconds_or,
    text,
    truth,
    whole,
)
from kyanite.batch.specs import PoolSpec, ResourceFile, StartTask, TaskSpec, check_identifier
from kyanite.errors import UnsupportedError

_FILL_TYPES = ("spread", "pack")
_JOB_ORDERS = ("none", "creationtime")
_SCOPES = ("task", "pool")
_ELEVATIONS = ("nonadmin", "admin")
_MODE = re.compile(r"(?:0o)?[0-7]{3,5}")
_USUAL_MODE = "0770"
PREPARATION_ID = "jobpreparation"
RELEASE_ID = "jobrelease"


def unsupported(name: str, instead: str) -> UnsupportedError:
    """The error for a property that a local node cannot honour; `instead` says what is supported."""
    return UnsupportedError(f"The property '{name}' is not supported.", cure=instead, code="UnsupportedProperty")


# ---- pools


def read_pool(document: Document) -> PoolSpec:
    """The body of `POST /pools`."""
    pool_id = check_identifier("pool", required(document, "id"))
    auto = truth(document, "enableAutoScale", False)
    dedicated = whole(document, "targetDedicatedNodes", 0, least=0)
    spot = whole(document, "targetLowPriorityNodes", 0, least=0)
    formula = text(document, "autoScaleFormula")
    if auto and not formula:
        raise missing("autoScaleFormula")
    given = [name for name in ("targetDedicatedNodes", "targetLowPriorityNodes") if document.get(name) is not None]
    if auto and given:
        raise wrong_value(given[0], document[given[0]], "It must not be given when enableAutoScale is true.")
    if not auto and formula:
        raise wrong_value("autoScaleFormula", formula, "It must not be given when enableAutoScale is false.")
    if not auto and not given:
        raise missing("targetDedicatedNodes")
    start = document.get("startTask")
    policy = part(document, "taskSchedulingPolicy")
    choice(policy, "jobDefaultOrder", _JOB_ORDERS, "none")
    _check_pool_parts(document)
    return PoolSpec(
        id=pool_id,
        target_nodes=dedicated + spot,
        low_priority_nodes=spot,
        slots_per_node=whole(document, _slots_name(document), 1, least=1, most=limits.TASK_SLOTS_PER_NODE),
        pack=choice(policy, "nodeFillType", _FILL_TYPES, "spread") == "pack",
        vm_size=required(document, "vmSize"),
        display_name=text(document, "displayName"),
        start_task=read_start_task(part(document, "startTask")) if start is not None else None,
        windows="windows" in (text(part(document, "virtualMachineConfiguration"), "nodeAgentSKUId") or "").lower(),
        document=dict(document),
        backend=metadata_value(document, "kyanite.backend") or "local",
        formula=formula if auto else None,
        interval=read_interval(document) or 900.0,
        resize_timeout=900.0 if auto else read_resize_timeout(document),
    )


def _slots_name(document: Document) -> str:
    return "taskSlotsPerNode" if document.get("taskSlotsPerNode") is not None else "maxTasksPerNode"


def read_interval(document: Document) -> float | None:
    """The `autoScaleEvaluationInterval` in seconds."""
    return seconds(
        document, "autoScaleEvaluationInterval", limits.AUTOSCALE_LEAST_SECONDS, limits.AUTOSCALE_MOST_SECONDS
    )


def read_resize_timeout(document: Document) -> float:
    """The `resizeTimeout` in seconds."""
    return seconds_or(document, "resizeTimeout", 900.0, limits.RESIZE_LEAST_SECONDS)


def _check_pool_parts(document: Document) -> None:
    check_metadata(document)
    if items(document, "mountConfiguration"):
        raise unsupported("mountConfiguration", "Mount the file system on this machine; tasks see it by its path.")
    if len(items(document, "applicationPackageReferences")) > limits.PACKAGES_PER_POOL:
        raise refusal("InvalidApplicationPackageReferences", f"At most {limits.PACKAGES_PER_POOL} are allowed.")
    read_packages(document)
    names = set()
    for account in objects(document, "userAccounts"):
        name = required(account, "name")
        if len(name) > 20 or name.casefold() in names:
            raise wrong_value("name", name, "A user's name is unique and has at most 20 characters.")
        names.add(name.casefold())
        required(account, "password")
        choice(account, "elevationLevel", _ELEVATIONS, "nonadmin")


def check_metadata(document: Document) -> None:
    """Metadata items have a name."""
    for item in objects(document, "metadata"):
        if not text(item, "name"):
            raise refusal("EmptyMetadataKey")


def metadata_value(document: Document, name: str) -> str | None:
    """The value of a metadata item."""
    return next((text(item, "value") for item in objects(document, "metadata") if item.get("name") == name), None)


def read_start_task(body: Document) -> StartTask:
    """A `startTask`; its command line must be one that can be split."""
    command_line = required(body, "commandLine")
    parse_command_line(command_line)
    _check_identity(body)
    return StartTask(
        command_line,
        tuple(read_resource_file(item) for item in objects(body, "resourceFiles")),
        read_environment(body),
        whole(body, "maxTaskRetryCount", 0, least=-1),
        truth(body, "waitForSuccess", True),
    )


def pool_document(spec: PoolSpec) -> dict[str, Any]:
    """The document of a pool that was made in Python. A start task whose files have no URL stays out of it."""
    body: dict[str, Any] = {
        "id": spec.id,
        "displayName": spec.display_name,
        "vmSize": spec.vm_size,
        "taskSlotsPerNode": spec.slots_per_node,
        "taskSchedulingPolicy": {"nodeFillType": "pack" if spec.pack else "spread"},
    }
    if spec.formula is not None:
        body |= {"enableAutoScale": True, "autoScaleFormula": spec.formula}
    else:
        body |= {"targetDedicatedNodes": spec.dedicated_nodes, "targetLowPriorityNodes": spec.low_priority_nodes}
    return {name: value for name, value in body.items() if value is not None}


# ---- jobs


def read_job(account: str, document: Document, now: datetime, *, scheduled: bool = False) -> Job:
    """The body of `POST /jobs`, or a job that a schedule makes (its id has a colon).

    An auto pool's job has no pool id yet.
    """
    job_id = required(document, "id")
    if not scheduled:
        check_identifier("job", job_id)
    pool = part(document, "poolInfo")
    if not pool:
        raise missing("poolInfo")
    auto = pool.get("autoPoolSpecification") is not None
    if auto == (pool.get("poolId") is not None):
        raise wrong_value("poolInfo", "", "It must have exactly one of poolId and autoPoolSpecification.")
    if auto:
        check_auto_pool(part(pool, "autoPoolSpecification"), scheduled)
    check_metadata(document)
    _check_job_tasks(document)
    wall_clock = seconds(part(document, "constraints"), "maxWallClockTime")
    whole(part(document, "constraints"), "maxTaskRetryCount", 0, least=-1)
    return Job(
        account=account,
        id=job_id,
        pool_id="" if auto else check_identifier("pool", required(pool, "poolId")),
        created_at=now,
        priority=read_priority(document),
        max_parallel_tasks=read_parallel(document),
        environment=read_environment(document, "commonEnvironmentSettings"),
        document=dict(document),
        uses_dependencies=truth(document, "usesTaskDependencies", False),
        on_all_complete=choice(document, "onAllTasksComplete", ("noaction", "terminatejob"), "noaction"),
        on_failure=choice(document, "onTaskFailure", ("noaction", "performexitoptionsjobaction"), "noaction"),
        deadline=None if wall_clock is None else now + timedelta(seconds=wall_clock),
        auto_pool=auto,
    )


def read_priority(document: Document) -> int:
    """A job's priority; OutOfRangePriority outside of -1000 to 1000."""
    priority = whole(document, "priority", 0)
    if not -1000 <= priority <= 1000:
        raise refusal("OutOfRangePriority", "It must be between -1000 and 1000.")
    return priority


def read_parallel(document: Document) -> int:
    """A job's `maxParallelTasks`: -1 for no limit, else more than 0."""
    parallel = whole(document, "maxParallelTasks", -1, least=-1)
    if parallel == 0:
        raise wrong_value("maxParallelTasks", parallel, "It must be -1 or more than 0.")
    return parallel


def check_auto_pool(body: Document, scheduled: bool = False) -> None:
    """An `autoPoolSpecification` whose pool can be made."""
    lifetimes = ("job", "jobschedule")
    lifetime = choice(body, "poolLifetimeOption", lifetimes, "")
    if not lifetime:
        raise missing("poolLifetimeOption")
    if lifetime == "jobschedule" and not scheduled:
        raise wrong_value("poolLifetimeOption", lifetime, "Only a job schedule's pool can live as long as it.")
    prefix = text(body, "autoPoolIdPrefix") or ""
    if len(prefix) > 20:
        raise wrong_value("autoPoolIdPrefix", prefix, "At most 20 characters are allowed.")
    if body.get("pool") is None:
        raise missing("pool")
    read_pool({**part(body, "pool"), "id": prefix + "pool"})


def _check_job_tasks(document: Document) -> None:
    manager, preparation, release = (part(document, f"job{name}Task") for name in ("Manager", "Preparation", "Release"))
    if release and not preparation:
        raise wrong_value("jobReleaseTask", "", "A job with a release task needs a job preparation task.")
    names = [
        read_task(manager).id if manager else None,
        read_preparation(document).id if preparation else None,
        read_release(document).id if release else None,
    ]
    taken = [name.casefold() for name in names if name is not None]
    if len(set(taken)) != len(taken):
        raise refusal("TaskIdSameAsJobPreparationTask")


def read_preparation(document: Document) -> TaskSpec:
    """A job's `jobPreparationTask` as a task."""
    body = part(document, "jobPreparationTask")
    return read_task({**body, "id": text(body, "id") or PREPARATION_ID})


def read_release(document: Document) -> TaskSpec:
    """A job's `jobReleaseTask` as a task; it may take 15 minutes at most."""
    body = part(document, "jobReleaseTask")
    limit = seconds(body, "maxWallClockTime", most=limits.RELEASE_TASK_SECONDS) or limits.RELEASE_TASK_SECONDS
    constraints = {"maxWallClockTime": f"PT{limit:g}S", "retentionTime": text(body, "retentionTime")}
    return read_task({**body, "id": text(body, "id") or RELEASE_ID, "constraints": constraints})


# ---- tasks


def read_task(document: Document, retries: int = 0) -> TaskSpec:
    """A task's document; `retries` is the job's default of how often a failing command runs again."""
    task_id = check_identifier("task", required(document, "id"))
    command_line = required(document, "commandLine")
    parse_command_line(command_line)
    _check_identity(document)
    if document.get("multiInstanceSettings") is not None:
        raise unsupported("multiInstanceSettings", "Give each instance a task of its own.")
    if document.get("authenticationTokenSettings") is not None:
        raise unsupported("authenticationTokenSettings", "Give the task the account's key in environmentSettings.")
    constraints = part(document, "constraints")
    retention = seconds_or(constraints, "retentionTime", limits.TASK_RETENTION_SECONDS)
    read_dependencies(document)
    read_output_files(document)
    read_packages(document)
    return TaskSpec(
        task_id,
        command_line,
        tuple(read_resource_file(item) for item in objects(document, "resourceFiles")),
        read_environment(document),
        read_wall_clock(constraints),
        retention,
        whole(document, "requiredSlots", 1, least=1, most=limits.TASK_SLOTS_PER_NODE),
        whole(constraints, "maxTaskRetryCount", retries, least=-1),
        text(document, "displayName"),
        dict(document),
    )


def stored_task(document: Document, retries: int, slots: int) -> TaskSpec:
    """What `read_task` made of a document, which was checked then and is only read now: lists show thousands."""
    constraints = document.get("constraints") or {}
    retention = seconds_or(constraints, "retentionTime", limits.TASK_RETENTION_SECONDS)
    return TaskSpec(
        str(document["id"]),
        str(document["commandLine"]),
        tuple([_resource_file(item) for item in document.get("resourceFiles") or ()]),
        {str(item["name"]): text(item, "value") or "" for item in document.get("environmentSettings") or ()},
        seconds(constraints, "maxWallClockTime"),
        retention,
        slots,
        retries,
        text(document, "displayName"),
        document,
    )


def read_wall_clock(constraints: Document) -> float | None:
    """A `maxWallClockTime` in seconds, more than 0."""
    limit = seconds(constraints, "maxWallClockTime")
    if limit is not None and limit <= 0:
        raise wrong_value("maxWallClockTime", constraints["maxWallClockTime"], "It must be more than 0.")
    return limit


def _check_identity(document: Document) -> None:
    """Tasks run as the user who runs kyanite; a container or another user is refused."""
    if document.get("containerSettings") is not None:
        raise unsupported("containerSettings", "Run the program itself, or call a container engine in the command.")
    identity = part(document, "userIdentity")
    if identity.get("username") is not None:
        raise unsupported("userIdentity.username", "Leave it out or give autoUser: tasks run as kyanite's own user.")
    user = part(identity, "autoUser")
    choice(user, "scope", _SCOPES, "pool")
    choice(user, "elevationLevel", _ELEVATIONS, "nonadmin")


def read_resource_file(body: Document) -> ResourceFile:
    """One item of `resourceFiles`: a URL, or all blobs of a container under a prefix."""
    sources = ("httpUrl", "storageContainerUrl", "autoStorageContainerName")
    given = [name for name in sources if text(body, name)]
    if len(given) != 1:
        raise wrong_value("resourceFiles", ", ".join(given), f"Exactly one of {', '.join(sources)} must be given.")
    mode = text(body, "fileMode") or _USUAL_MODE
    if not _MODE.fullmatch(mode):
        raise wrong_value("fileMode", mode, "It must be an octal number.")
    if given == ["httpUrl"] and text(body, "blobPrefix"):
        raise wrong_value("blobPrefix", body["blobPrefix"], "It belongs to a container, not to httpUrl.")
    file = _resource_file(body)
    check_relative("filePath", file.file_path, empty=given != ["httpUrl"])
    return file


def _resource_file(body: Document) -> ResourceFile:
    url = text(body, "httpUrl") or None
    path = text(body, "filePath") or ("" if url is None else url.split("?")[0].rsplit("/", 1)[-1])
    return ResourceFile(
        path,
        url,
        mode=int((text(body, "fileMode") or _USUAL_MODE).removeprefix("0o"), 8) & 0o777,
        container_url=text(body, "storageContainerUrl") or None,
        auto_container=text(body, "autoStorageContainerName") or None,
        blob_prefix=text(body, "blobPrefix") or "",
    )


def check_relative(name: str, path: str, *, empty: bool = False) -> None:
    """A path below the working directory: no `..`, not absolute, no empty steps, no backslash."""
    steps = path.rstrip("/").split("/")
    if empty and path in ("", "."):
        return
    if any(step in ("", ".", "..") or "\\" in step or "\0" in step or len(step.encode()) > 255 for step in steps):
        raise wrong_value(name, path, "It is not a path below the task's directory.")


def read_environment(document: Document, name: str = "environmentSettings") -> dict[str, str]:
    """Settings `[{name, value}]`; a name cannot be empty or hold `=`, nothing can hold NUL."""
    found = {}
    for item in objects(document, name):
        key, value = required(item, "name"), text(item, "value") or ""
        if "=" in key or "\0" in key + value:
            raise wrong_value(name, key, "A name cannot hold '=', and neither name nor value a NUL character.")
        found[key] = value
    return found


def read_packages(document: Document) -> list[tuple[str, str | None]]:
    """The `applicationPackageReferences`: application and version (None for its default)."""
    references = objects(document, "applicationPackageReferences")
    return [(required(item, "applicationId"), text(item, "version") or None) for item in references]


def environment_items(environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """The wire form of settings."""
    return [{"name": name, "value": value} for name, value in environment.items()]
