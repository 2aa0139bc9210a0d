"""The verbs on tasks. Batch reference sections 10, 15 and 16."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kyanite import limits
from kyanite.batch import dependency_rows, diagnosis, job_nodes, job_rules
from kyanite.batch.applications import check_references
from kyanite.batch.codes import refusal
from kyanite.batch.command_line import parse_command_line
from kyanite.batch.conditions import NO_CONDITIONS, Conditions
from kyanite.batch.dependencies import block_bounds
from kyanite.batch.documents import PREPARATION_ID, RELEASE_ID, read_task
from kyanite.batch.exit_conditions import check_exit_conditions
from kyanite.batch.model import Job, Task, TaskState, check_identifier, etag, reactivated, terminated
from kyanite.batch.node_service import NodeService
from kyanite.batch.reading import Document, part, text, whole
from kyanite.batch.specs import TaskSpec
from kyanite.batch.staging import check_paths
from kyanite.batch.store import SQL, Attempt, time_text
from kyanite.errors import BatchError, KyaniteError

_NAMED_OF_RANGES = 5  # missing tasks of ranges that an explanation names


class TaskService(NodeService):
    """The verbs on tasks."""

    def add_task(self, account: str, job_id: str, task: TaskSpec | Document) -> Task:
        """Add a waiting task, given in Python or as the body of `POST /jobs/{job}/tasks`.

        TaskExists when the job has one of that id; what is wrong with it is said by the service's codes.
        """
        with self._begin():
            job = self._open_job(account, job_id)
            spec = self._read(job, task)
            if not self._store.put_task(job.account, job, spec, self._clock()):
                raise BatchError(f"Job '{job.id}' has a task '{spec.id}' already.", code="TaskExists")
        self._scheduler.notify()
        return self.get_task(account, job_id, spec.id)

    def add_tasks(self, account: str, job_id: str, documents: Sequence[Any]) -> list[Task | KyaniteError]:
        """Add up to 100 tasks at once; in their order each task, or the error that kept it out."""
        if len(documents) > limits.TASKS_PER_REQUEST:
            raise refusal("RequestBodyTooLarge", f"At most {limits.TASKS_PER_REQUEST} tasks can be added at once.")
        added: list[TaskSpec | KyaniteError] = []
        with self._begin():
            job = self._open_job(account, job_id)
            for document in documents:
                added.append(self._add_one(job, document))
        self._scheduler.notify()
        return [item if isinstance(item, KyaniteError) else self.get_task(account, job_id, item.id) for item in added]

    def _add_one(self, job: Job, document: Any) -> TaskSpec | KyaniteError:
        try:
            if not isinstance(document, Mapping):
                raise refusal("InvalidRequestBody", "Each task must be an object.")
            spec = self._read(job, document)
            if not self._store.put_task(job.account, job, spec, self._clock()):
                raise BatchError(f"Job '{job.id}' has a task '{spec.id}' already.", code="TaskExists")
        except KyaniteError as error:
            return error
        return spec

    def _open_job(self, account: str, job_id: str) -> Job:
        job = self.job(account, job_id)
        job_rules.check_takes_tasks(job)
        return job

    def _read(self, job: Job, task: TaskSpec | Document) -> TaskSpec:
        if isinstance(task, TaskSpec):
            check_identifier("task", task.id)
            parse_command_line(task.command_line)
            check_paths(task.resource_files)
            _check_numbers(task)
            spec = task
        else:
            spec = read_task(task, whole(part(job.document, "constraints"), "maxTaskRetryCount", 0))
            check_exit_conditions(spec.document, job.on_failure)
            check_references(self._store, job.account, spec.document)
            if spec.document.get("dependsOn") and not job.uses_dependencies:
                raise refusal("TaskDependenciesNotSpecifiedOnJob")
        _check_name(job, spec.id)
        return spec

    # ---- looking

    def tasks(self, account: str, job_id: str) -> list[Task]:
        """The tasks of a job in the order they were added."""
        return self._store.tasks(account, self.job(account, job_id).id)

    def list_tasks(
        self,
        account: str,
        job: str,
        after: str | None = None,
        *,
        state: str | None = None,
        prefix: str = "",
        keep: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> Iterable[Task]:
        """The tasks of a job in the order they were added, those after the task `after`; read as they are asked for.

        `state`, `prefix` (of the id, in any case) and `keep` (told of the `FACTS` of a task's wire document) leave out
        others before they are read. When the task `after` is gone meanwhile, the list begins anew.
        """
        found = self.job(account, job)
        start = self._store.task(found.account, found.id, after) if after else None
        return self._store.each_task(found.account, found.id, start[0] if start else 0, state, prefix, keep)

    def list_subtasks(self, account: str, job: str, task: str) -> list[dict[str, Any]]:
        """The subtasks of a multi-instance task; there are none, as such tasks are refused."""
        self._found(account, job, task)
        return []

    # ---- changing

    def update_task(
        self, account: str, job: str, task: str, document: Document, *, conditions: Conditions = NO_CONDITIONS
    ) -> Task:
        """Replace a task's constraints; what is not given gets its default back."""
        with self._begin():
            sequence, found = self._met_task(account, job, task, conditions)
            if found.state is TaskState.COMPLETED:
                raise refusal("TaskCompleted", where=f"task {task}")
            retries = whole(part(self.job(account, job).document, "constraints"), "maxTaskRetryCount", 0)
            body = {name: value for name, value in found.spec.document.items() if name != "constraints"}
            if not found.spec.document:
                body = {"id": found.id, "commandLine": found.spec.command_line}
            if document.get("constraints") is not None:
                body["constraints"] = dict(part(document, "constraints"))
            read = read_task(body, retries)
            spec = replace(
                found.spec,
                max_wall_clock=read.max_wall_clock,
                retention=read.retention,
                max_retry_count=read.max_retry_count,
                document=body if found.spec.document else {},
            )
            changed = replace(found, spec=spec, version=found.version + 1, modified_at=self._clock())
            self._store.change_task(sequence, changed)
        return self.get_task(account, job, task)

    def _met_task(self, account: str, job: str, task: str, conditions: Conditions) -> tuple[int, Task]:
        sequence, found = self._found(account, job, task)
        changed = found.modified_at or found.created_at
        conditions.check(etag(found.version, changed), changed)
        return sequence, found

    def terminate_task(
        self, account: str, job_id: str, task_id: str, *, conditions: Conditions = NO_CONDITIONS
    ) -> None:
        """End a task: a waiting one at once, a running one once its processes are gone. TaskCompleted if it is."""
        if not self._end(account, job_id, task_id, delete=False, conditions=conditions):
            raise BatchError(f"Task '{task_id}' is completed.", code="TaskCompleted")

    def delete_task(self, account: str, job_id: str, task_id: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Remove a task with its files; a running one is ended first and gone once its processes are."""
        self._end(account, job_id, task_id, delete=True, conditions=conditions)
        self._scheduler.sweep()

    def reactivate_task(self, account: str, job: str, task: str, *, conditions: Conditions = NO_CONDITIONS) -> None:
        """Run a failed task again, as if it had never failed; only of a job that goes on."""
        with self._begin():
            sequence, found = self._met_task(account, job, task, conditions)
            job_rules.check_takes_tasks(self.job(account, job))
            if found.state is not TaskState.COMPLETED or found.result != "failure":
                reason = f"Only a failed task can be reactivated; it is {found.state}."
                raise refusal("OperationInvalidForCurrentState", reason, where=f"task {task}")
            self._store.move_task(sequence, found, reactivated(found, self._clock()))
        self._scheduler.notify()

    def _end(
        self, account: str, job_id: str, task_id: str, *, delete: bool, conditions: Conditions = NO_CONDITIONS
    ) -> bool:
        attempt: Attempt | None = None
        with self._begin():
            sequence, task = self._met_task(account, job_id, task_id, conditions)
            was_completed = task.state is TaskState.COMPLETED
            now = time_text(self._clock())
            if not was_completed or delete:
                self._store.change("request_stop", sequence=sequence, reason="TaskEnded", deleted=int(delete), at=now)
            if delete:
                self._store.change("drop_dependencies", sequence=sequence)
            if task.state is TaskState.ACTIVE:
                self._store.move_task(sequence, task, terminated(task, self._clock()))
            elif not was_completed:
                attempt = self._store.open_attempt_of(sequence)
        if attempt is not None:
            self._scheduler.request_stop(attempt)
        self._scheduler.notify()
        return not was_completed

    # ---- why

    def why_waiting(self, account: str, job_id: str, task_id: str) -> diagnosis.Waiting | None:
        """The first reason why a task is not running yet; None when it is or was."""
        return next(iter(self.explain(account, job_id, task_id)), None)

    def explain(self, account: str, job_id: str, task_id: str) -> list[diagnosis.Waiting]:
        """Every reason why a task is not running, what stands most in the way first; empty when it is or was."""
        situation = self._situation(account, job_id, task_id)
        if situation.task.state is not TaskState.ACTIVE:
            return diagnosis.explain(situation)
        key = {"account": situation.job.account.casefold(), "pool": situation.task.pool_id.casefold()}
        sequence, priority = self._found(account, job_id, task_id)[0], situation.job.priority
        ahead = self._store.rows("tasks_ahead", sequence=sequence, priority=priority, **key)[0]["n"]
        holders = [f"{row['job_id']}/{row['id']} on {row['node']}" for row in self._store.rows("holders", **key)]
        return diagnosis.explain(replace(situation, ahead=ahead, holders=holders))

    def hopeless(self, account: str, job_id: str, task_id: str) -> diagnosis.Waiting | None:
        """The reason why a task will never start unless somebody changes something; None when it may."""
        reasons = diagnosis.explain(self._situation(account, job_id, task_id))
        return next((reason for reason in reasons if reason.hopeless), None)

    def _situation(self, account: str, job_id: str, task_id: str) -> diagnosis.Situation:
        sequence, task = self._found(account, job_id, task_id)
        job = self.job(account, job_id)
        place = {"account": job.account.casefold(), "job": job.id.casefold()}
        found = self._store.pool(task.account, task.pool_id)
        failed = {
            item.node_id: str(((item.preparation or {}).get("failureInfo") or {}).get("message", "it failed"))
            for item in (job_nodes.of_job(self._store, job) if job.document.get("jobPreparationTask") else ())
            if (item.preparation or {}).get("result") == "failure"
        }
        unmet, missing = self._unmet(sequence, place) if task.unmet else ([], 0)
        return diagnosis.Situation(
            task=task,
            job=job,
            pool=found[0] if found else None,
            nodes=self._nodes(found[0]) if found else (),
            known_pools=[] if found else [pool.id for pool in self._store.pools(task.account)],
            unmet=unmet,
            missing_of_ranges=missing,
            running=self._store.rows("open_tasks_of_job", **place)[0]["n"] if job.max_parallel_tasks >= 0 else 0,
            preparation_failed=failed,
        )

    def _unmet(self, sequence: int, place: Mapping[str, str]) -> tuple[list[tuple[str, str | None]], int]:
        """What a task still waits for, with states: its ids and a few of its ranges, and how many more of these."""
        unmet: list[tuple[str, str | None]] = []
        missing = 0
        named = _NAMED_OF_RANGES
        rows = self._store.rows("dependencies_of", sequence=sequence)
        for row in sorted(rows, key=lambda row: (-1, 0) if row["needs"][0] == "=" else block_bounds(row["needs"])):
            if row["needs"].startswith("="):
                found = self._store.task(place["account"], place["job"], row["needs"][1:])
                unmet.append((found[1].id if found else row["needs"][1:], found[1].state.value if found else None))
                continue
            numbers = dependency_rows.missing_of(self._store.database, SQL, place, row["needs"], named)
            named -= len(numbers)
            missing += row["remaining"] - len(numbers)
            for number in numbers:
                tasks = self._store.rows("tasks_of_number", **place, number=str(number))
                unmet.append((tasks[0]["id"], tasks[0]["state"]) if tasks else (str(number), None))
        return unmet, missing


def _check_name(job: Job, task_id: str) -> None:
    """Preparation, release and manager keep their ids to themselves."""
    named = (
        ("jobPreparationTask", PREPARATION_ID, "TaskIdSameAsJobPreparationTask"),
        ("jobReleaseTask", RELEASE_ID, "TaskIdSameAsJobReleaseTask"),
        ("jobManagerTask", "", "TaskIdSameAsJobManagerTask"),
    )
    for name, default, code in named:
        body = part(job.document, name)
        if body and (text(body, "id") or default).casefold() == task_id.casefold():
            raise refusal(code, where=f"task {task_id}")


def _check_numbers(spec: TaskSpec) -> None:
    texts = [spec.command_line, *spec.environment, *spec.environment.values()]
    wrong = {
        "required_slots must be at least 1": spec.required_slots < 1,
        "max_wall_clock must be more than 0 seconds": spec.max_wall_clock is not None and spec.max_wall_clock <= 0,
        "retention cannot be negative": spec.retention < 0,
        "max_retry_count must be at least -1": spec.max_retry_count < -1,
        "a NUL character cannot be passed to a command": any("\0" in text for text in texts),
        "a variable's name cannot be empty or hold '='": any(not name or "=" in name for name in spec.environment),
    }
    for rule, broken in wrong.items():
        if broken:
            raise BatchError(f"Task '{spec.id}': {rule}.", code="InvalidPropertyValue")
