"""A process that runs a pipeline to its failure, reruns it, or goes on with what is unfinished, for the kill tests.

    python rerun_program.py HOME run|rerun|resume

Its Custom activities append `RUN NAME` to HOME/effects.txt; `in_b` and `child_2` fail until HOME/mended exists.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from run_program import POOL, STORE, after, custom

from kyanite.activities.context import ActivityContext
from kyanite.definitions.load import load_documents
from kyanite.runs.store import RunQuery
from kyanite.runtime.rerun import RerunMode, rerun
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace

MAIN = {
    "name": "main",
    "properties": {
        "activities": [
            custom("first"),
            {
                "name": "loop",
                "type": "ForEach",
                "dependsOn": after("first"),
                "typeProperties": {
                    "items": ["a", "b"],
                    "activities": [{**custom("inner"), "typeProperties": {"command": "@item()"}}],
                },
            },
            {
                "name": "call",
                "type": "ExecutePipeline",
                "dependsOn": after("first"),
                "typeProperties": {
                    "pipeline": {"referenceName": "child", "type": "PipelineReference"},
                    "waitOnCompletion": True,
                },
            },
            custom("last", dependsOn=after("loop", "call")),
        ],
    },
}
CHILD = {"name": "child", "properties": {"activities": [custom("c1"), custom("c2", dependsOn=after("c1"))]}}


def main(home: Path, what: str) -> None:
    def run(context: ActivityContext) -> dict:
        name = f"{context.name} {context.type_properties['command']}"
        with (home / "effects.txt").open("a", encoding="utf-8") as out:
            out.write(f"{context.run_id} {name}\n")
        if name in ("inner b", "c2 true") and not (home / "mended").exists():
            raise RuntimeError("as told")
        return {"by": context.run_id}

    with open_workspace(home, create=True) as workspace:
        if what == "run":
            documents = [("pipeline", MAIN), ("pipeline", CHILD), ("linkedService", STORE), ("linkedService", POOL)]
            ids = [start_run(workspace, load_documents("f", documents), "main")]
        else:
            found = workspace.store.runs(RunQuery())
            ids = [item.run_id for item in found if item.parent_run_id is None and item.ended_at is None]
        if what == "rerun" or (what == "resume" and len([1 for item in found if item.parent_run_id is None]) == 1):
            source = next(item.run_id for item in found if item.parent_run_id is None)
            ids = [rerun(workspace, source, mode=RerunMode.FROM_FAILURE)]
        for run_id in ids:
            status = Worker(workspace, activities={"Custom": run}).run(run_id)
            print(json.dumps({"run": run_id, "status": status}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
