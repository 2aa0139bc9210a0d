"""Random pipelines: DAGs with every condition, retries, time-outs, inactive activities, nested containers, children."""

from __future__ import annotations

import random

CONDITIONS = ["Succeeded", "Failed", "Completed", "Skipped"]
REPEATED, ITEM = 1, 2  # the order of attempts over repetitions is not fixed; item() can be read


class Generator:
    """One pipeline of If, ForEach and leaves; `in_loop` says that a place is inside a ForEach."""

    KINDS = ("Custom",) * 6 + ("Fail", "Wait", "AppendVariable")
    CONTAINERS = ("IfCondition", "ForEach") * 2

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.outcomes: dict[str, list[dict]] = {}

    def pipeline(self) -> dict:
        variables = {"seen": {"type": "Array"}}
        return {"name": "main", "properties": {"activities": self.activities(0, 0), "variables": variables}}

    def activities(self, depth: int, in_loop: int) -> list[dict]:
        made: list[dict] = []
        for _ in range(self.random.randint(1, 6 if depth == 0 else 3)):
            activity = self.activity(depth, in_loop)
            if made and self.random.random() < 0.8:
                parents = self.random.sample(made, min(len(made), self.random.choice([1, 1, 1, 2, 3])))
                activity["dependsOn"] = [self.dependency(parent["name"]) for parent in parents]
            made.append(activity)
        self.random.shuffle(made)
        return made

    def dependency(self, name: str) -> dict:
        count = self.random.choice([1, 1, 1, 2])
        return {"activity": name, "dependencyConditions": self.random.sample(CONDITIONS, count)}

    def kinds(self, depth: int, in_loop: int) -> tuple[str, ...]:
        return self.KINDS + (self.CONTAINERS if depth < 3 else ())

    def activity(self, depth: int, in_loop: int) -> dict:
        self.count += 1
        name = f"a{self.count}"
        kind = self.random.choice(self.kinds(depth, in_loop))
        activity = {"name": name, "type": kind, "typeProperties": getattr(self, kind)(name, depth, in_loop)}
        if kind == "Custom":
            retry = self.random.choice([0, 0, 1, 2])
            activity["policy"] = {"retry": retry, "retryIntervalInSeconds": 30, "timeout": "0.00:01:00"}
        if self.random.random() < 0.08:
            activity |= {
                "state": "Inactive",
                "onInactiveMarkAs": self.random.choice(["Succeeded", "Failed", "Skipped"]),
            }
        return activity

    def Custom(self, name: str, depth: int, in_loop: int) -> dict:
        # where repetitions run side by side the order of attempts is not fixed, so each attempt does the same there
        attempts = 1 if in_loop else self.random.randint(1, 3)
        self.outcomes[name] = [
            {
                "status": self.random.choice(["Succeeded", "Succeeded", "Failed"]),
                "seconds": self.random.choice([0, 1, 20, 90]),
            }
            for _ in range(attempts)
        ]
        return {"command": "scripted"}

    def Fail(self, name: str, depth: int, in_loop: int) -> dict:
        return {"message": f"{name} fails", "errorCode": "E"}

    def Wait(self, name: str, depth: int, in_loop: int) -> dict:
        return {"waitTimeInSeconds": self.random.randint(1, 100)}

    def AppendVariable(self, name: str, depth: int, in_loop: int) -> dict:
        return {"variableName": "seen", "value": "@item()" if in_loop & ITEM else name}

    def IfCondition(self, name: str, depth: int, in_loop: int) -> dict:
        text = self.random.choice(["@equals(1,1)", "@equals(1,2)"])
        properties: dict = {"expression": {"value": text, "type": "Expression"}}
        for branch in ("ifTrueActivities", "ifFalseActivities"):
            if self.random.random() < 0.8:
                properties[branch] = self.activities(depth + 1, in_loop)
        return properties

    def ForEach(self, name: str, depth: int, in_loop: int) -> dict:
        return {
            "items": [f"{name}-{index}" for index in range(self.random.choice([0, 1, 3, 5]))],
            "isSequential": self.random.random() < 0.5,
            "batchCount": self.random.choice([1, 2, 20]),
            "activities": self.activities(depth + 1, REPEATED | ITEM),
        }


class WideGenerator(Generator):
    """Several pipelines that call each other, with Switch, Until, Filter, SetVariable and ExecutePipeline as well."""

    KINDS = ("Custom",) * 6 + ("Fail", "Wait", "AppendVariable", "SetVariable", "SetVariable", "Filter")
    CONTAINERS = ("IfCondition", "ForEach", "Switch", "ExecutePipeline")

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.children: list[dict] = []
        self.variables: dict = {}

    def pipelines(self) -> list[dict]:
        return [self.one("main", 0, 0), *self.children]

    def one(self, name: str, depth: int, in_loop: int) -> dict:
        outer, self.variables = self.variables, {"seen": {"type": "Array"}}
        activities = self.activities(depth, in_loop)
        properties = {"activities": activities, "variables": self.variables, "parameters": {"p": {"type": "String"}}}
        self.variables = outer
        if name == "main":
            properties["parameters"] = {}
        return {"name": name, "properties": properties}

    def kinds(self, depth: int, in_loop: int) -> tuple[str, ...]:
        until = ("Until",) if depth < 3 and not in_loop & REPEATED else ()
        return super().kinds(depth, in_loop) + until

    def SetVariable(self, name: str, depth: int, in_loop: int) -> dict:
        kind = self.random.choice(["String", "String", "Integer"])  # a text does not fit an Integer: it fails
        self.variables[f"set-{name}"] = {"type": kind, "defaultValue": "" if kind == "String" else 0}
        return {"variableName": f"set-{name}", "value": name}

    def Filter(self, name: str, depth: int, in_loop: int) -> dict:
        condition = self.random.choice(
            ["@greater(item(), 2)", "@greater(item(), 9)", "@item()"]
        )  # the last: no Boolean
        items = [self.random.randint(0, 5) for _ in range(self.random.choice([0, 2, 4]))]
        return {"items": items, "condition": {"value": condition, "type": "Expression"}}

    def Switch(self, name: str, depth: int, in_loop: int) -> dict:
        values = self.random.sample(["1", "2", "x", "X", ""], self.random.randint(0, 3))
        cases = [{"value": value, "activities": self.activities(depth + 1, in_loop)} for value in values]
        properties = {
            "on": self.random.choice([1, "2", "x", "X", "@concat('x')", "@add(1, 1)", "@true"]),
            "cases": cases,
        }
        if self.random.random() < 0.6:
            properties["defaultActivities"] = self.activities(depth + 1, in_loop)
        return properties

    def Until(self, name: str, depth: int, in_loop: int) -> dict:
        counter, passes = f"count-{name}", self.random.randint(1, 3)
        self.variables[counter] = {"type": "Array"}
        count = {
            "name": f"{name}-count",
            "type": "AppendVariable",
            "typeProperties": {"variableName": counter, "value": name},
        }
        expression = f"@greaterOrEquals(length(variables('{counter}')), {passes})"
        return {"expression": expression, "activities": [*self.activities(depth + 1, in_loop), count]}

    def ExecutePipeline(self, name: str, depth: int, in_loop: int) -> dict:
        wait = self.random.random() < 0.7
        child = self.one(f"of-{name}", depth + 1, in_loop & REPEATED if wait else REPEATED)
        self.children.append(child)
        properties = {
            "pipeline": {"referenceName": child["name"], "type": "PipelineReference"},
            "waitOnCompletion": wait,
        }
        if self.random.random() < 0.9:  # else its parameter is missing, and the call fails
            properties["parameters"] = {"p": "@concat('x', string(1))"}
        return properties
