"""The rows of what tasks wait for: written when a dependent is added, counted down when a task is done."""

from __future__ import annotations

from collections.abc import Mapping

from kyanite.batch.dependencies import block_names, blocks, integer_of, read_dependencies, task_name
from kyanite.batch.specs import TaskSpec
from kyanite.database import Database

Place = Mapping[str, str]


def depend(database: Database, sql: Mapping[str, str], place: Place, spec: TaskSpec) -> None:
    """Write what the task just added to the job waits for, and how much of it there is."""
    found = read_dependencies(spec.document)
    dependent = database.query(sql["task_sequence"], {**place, "key": spec.id.casefold()})[0]["sequence"]
    rows = []
    for name in found.tasks:
        done = database.query(sql["is_satisfied"], {**place, "key": name})
        if not done:
            rows.append({**place, "needs": task_name(name), "dependent": dependent, "remaining": 1})
    wanted: dict[str, int] = {}
    for first, last in found.ranges:
        for needs, low, high in blocks(first, last):
            done = database.query(sql["satisfied_between"], {**place, "first": low, "last": high})
            remaining = high - low + 1 - int(done[0]["n"])
            if remaining:
                wanted[needs] = remaining
    rows += [{**place, "needs": needs, "dependent": dependent, "remaining": left} for needs, left in wanted.items()]
    database.execute_many(sql["put_dependency"], rows)
    database.execute(sql["set_unmet"], {"sequence": dependent, "unmet": len(rows)})


def satisfy(database: Database, sql: Mapping[str, str], place: Place, task_id: str) -> None:
    """Count a satisfying task for everything that waits for it; of ids that are the same integer the first counts."""
    names = [task_name(task_id)]
    number = integer_of(task_id)
    if number is not None and database.execute(sql["put_satisfied"], {**place, "number": number}):
        names += block_names(number)
    for needs in names:
        waiting = {**place, "needs": needs}
        if not database.execute(sql["count_down"], waiting):
            continue
        database.execute(sql["release_dependents"], waiting)
        database.execute(sql["drop_met"], waiting)
