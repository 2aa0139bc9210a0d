"""The rows of what tasks wait for: written when a dependent is added, counted down when a task is done."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from kyanite.batch.dependencies import block_bounds, block_names, blocks, integer_of, read_dependencies, task_name
from kyanite.batch.specs import TaskSpec
from kyanite.database import Database

Place = Mapping[str, str]
_LOOKED_AT = 100_000


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


def missing_of(database: Database, sql: Mapping[str, str], place: Place, needs: str, most: int) -> list[int]:
    """The first integers of a block that nobody has satisfied yet, so many at most."""
    first, last = block_bounds(needs)
    if most <= 0:
        return []
    rows = database.query(sql["satisfied_of"], {**place, "first": first, "last": last, "most": _LOOKED_AT})
    done = {row["number"] for row in rows}
    last = rows[-1]["number"] if len(rows) == _LOOKED_AT else last
    return list(islice((number for number in range(first, last + 1) if number not in done), most))


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
