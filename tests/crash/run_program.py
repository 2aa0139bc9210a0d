"""A process that starts a run or goes on with the unfinished ones; the kill tests start it and end it at any commit.

    python run_program.py HOME start|resume

Its Custom activities append their name to HOME/effects.txt: what really happened, outside the log.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from kyanite.activities.context import ActivityContext
from kyanite.definitions.load import load_documents
from kyanite.runs.store import RunQuery
from kyanite.runtime.start import start_run
from kyanite.runtime.worker import Worker
from kyanite.runtime.workspace import open_workspace


def after(*names: str, condition: str = "Succeeded") -> list[dict]:
    return [{"activity": name, "dependencyConditions": [condition]} for name in names]


def custom(name: str, **more: object) -> dict:
    reference = {"referenceName": "pool", "type": "LinkedServiceReference"}
    return {
        "name": name,
        "type": "Custom",
        "linkedServiceName": reference,
        "typeProperties": {"command": "true"},
        **more,
    }


def append(name: str, value: str, variable: str = "seen", **more: object) -> dict:
    properties = {"variableName": variable, "value": value}
    return {"name": name, "type": "AppendVariable", "typeProperties": properties, **more}


MAIN = {
    "name": "main",
    "properties": {
        "variables": {"seen": {"type": "Array"}, "turns": {"type": "Array"}, "last": {"type": "String"}},
        "activities": [
            custom("first"),
            {
                "name": "loop",
                "type": "ForEach",
                "dependsOn": after("first"),
                "typeProperties": {
                    "items": ["x", "y", "z"],
                    "batchCount": 2,
                    "activities": [
                        custom("inner"),
                        {
                            "name": "choose",
                            "type": "IfCondition",
                            "dependsOn": after("inner"),
                            "typeProperties": {
                                "expression": {"value": "@contains('xyz', item())", "type": "Expression"},
                                "ifTrueActivities": [append("note", "@item()")],
                            },
                        },
                    ],
                },
            },
            {
                "name": "repeat",
                "type": "Until",
                "dependsOn": after("first"),
                "typeProperties": {
                    "expression": {"value": "@equals(length(variables('turns')), 2)", "type": "Expression"},
                    "activities": [
                        custom("turn"),
                        append("count", "t", variable="turns", dependsOn=after("turn")),
                    ],
                },
            },
            custom(
                "flaky",
                dependsOn=after("first"),
                policy={"retry": 2, "retryIntervalInSeconds": 0},
            ),
            {"name": "pause", "type": "Wait", "dependsOn": after("loop"), "typeProperties": {"waitTimeInSeconds": 1}},
            {
                "name": "call",
                "type": "ExecutePipeline",
                "dependsOn": after("loop", "flaky", "repeat"),
                "typeProperties": {
                    "pipeline": {"referenceName": "child", "type": "PipelineReference"},
                    "waitOnCompletion": True,
                    "parameters": {"word": "@string(length(variables('seen')))"},
                },
            },
            {
                "name": "set",
                "type": "SetVariable",
                "dependsOn": after("call", "pause"),
                "typeProperties": {"variableName": "last", "value": "@activity('call').output.pipelineName"},
            },
        ],
    },
}
CHILD = {
    "name": "child",
    "properties": {
        "parameters": {"word": {"type": "string"}},
        "activities": [
            {
                "name": "if",
                "type": "IfCondition",
                "typeProperties": {
                    "expression": {"value": "@equals(pipeline().parameters.word, '3')", "type": "Expression"},
                    "ifTrueActivities": [custom("right")],
                    "ifFalseActivities": [custom("wrong")],
                },
            }
        ],
    },
}
STORE = {
    "name": "store",
    "properties": {"type": "AzureBlobStorage", "typeProperties": {"connectionString": "AccountName=a"}},
}
POOL = {
    "name": "pool",
    "properties": {
        "type": "AzureBatch",
        "typeProperties": {
            "accountName": "a",
            "batchUri": "https://a.local.batch.azure.com",
            "poolName": "p",
            "linkedServiceName": {"referenceName": "store", "type": "LinkedServiceReference"},
        },
    },
}


def main(home: Path, what: str) -> None:
    effects = home / "effects.txt"

    def run(context: ActivityContext) -> dict:
        with effects.open("a", encoding="utf-8") as out:
            out.write(f"{context.activity_run_id} {context.name}\n")
        time.sleep(0.01)
        if context.name == "flaky" and context.attempt < 1:
            raise RuntimeError("as told")
        return {"name": context.name}

    with open_workspace(home, create=True) as workspace:
        unfinished = list(workspace.store.runs(RunQuery(status=("Queued", "InProgress", "Canceling"))))
        if what == "start":
            documents = [("pipeline", MAIN), ("pipeline", CHILD), ("linkedService", STORE), ("linkedService", POOL)]
            ids = [start_run(workspace, load_documents("f", documents), "main")]
        else:
            ids = [item.run_id for item in unfinished if item.parent_run_id is None]
        for run_id in ids:
            status = Worker(workspace, activities={"Custom": run}).run(run_id)
            print(json.dumps({"run": run_id, "status": status}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
