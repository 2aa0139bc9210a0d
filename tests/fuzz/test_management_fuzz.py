"""Requests at random, but the same each time, to every route of Data Factory: never a failure of ours."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kyanite.runtime.workspace import open_workspace
from kyanite.server.management.providers import load_providers
from management_kit import BLOB, DATASET, FACTORY, PIPELINE, SCHEDULE, Front

NAMES = [
    "P",
    "D",
    "Store",
    "Every",
    "airline",
    "missing",
    "../x",
    "a b",
    "ä",
    "%00",
    "a" * 300,
    "default",
    "@x",
    "'",
    "/",
]
WORDS = [
    *NAMES,
    "",
    "Equals",
    "In",
    "Status",
    "RunStart",
    "ASC",
    "2024-01-31T06:00:00Z",
    "SecureString",
    "***",
    "@{1}",
    "\ud800",
]
SHAPES = [PIPELINE, BLOB, DATASET, SCHEDULE, {"properties": {}}, {"n": 5}, {"location": "local"}]
QUERY: dict[str, Any] = {
    "lastUpdatedAfter": "2000-01-01T00:00:00Z",
    "lastUpdatedBefore": "2100-01-01T00:00:00Z",
    "filters": [{"operand": "Status", "operator": "In", "values": ["Failed"]}],
    "orderBy": [{"orderBy": "RunStart", "order": "DESC"}],
    "continuationToken": "WzFd",
}
FLAGS = [
    "isRecovery=true",
    "isRecursive=0",
    "startFromFailure=1",
    "startActivityName=set",
    "$skiptoken=P",
    "referencePipelineRunId=",
]


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 4 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([0, 1, -1, 2**63, 1e308, 0.5])
    if kind < 6:
        return rng.choice(WORDS)
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {
        rng.choice([*WORDS, "type", "value", "properties", "name"]): value(rng, depth + 1)
        for _ in range(rng.randrange(4))
    }


def mutated(rng: random.Random, document: Any) -> Any:
    """The document with something in it replaced, removed or added."""
    if rng.random() < 0.15:
        return value(rng)
    if isinstance(document, dict) and document:
        copy = dict(document)
        name = rng.choice(list(copy))
        match rng.randrange(5):
            case 0:
                del copy[name]
            case 1:
                copy[rng.choice(WORDS)] = value(rng)
            case _:
                copy[name] = mutated(rng, copy[name])
        return copy
    if isinstance(document, list) and document:
        index = rng.randrange(len(document))
        return [mutated(rng, item) if at == index else item for at, item in enumerate(document)]
    return value(rng)


def content(rng: random.Random) -> bytes:
    match rng.randrange(8):
        case 0:
            return b""
        case 1:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(40)))
        case 2:
            return b"[" * rng.choice([1, 70, 3000])
    document = rng.choice([*SHAPES, QUERY])
    for _ in range(rng.randrange(3)):
        document = mutated(rng, document)
    return json.dumps(document).encode()


def requests(seed: int, count: int) -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    rng = random.Random(seed)
    routes = load_providers()["microsoft.datafactory"].routes
    runs = [f"{FACTORY}/pipelineruns"]
    for _ in range(count):
        route = rng.choice(routes)
        path = re.sub(r"\{factory\}", "airline", route.template) if rng.random() < 0.9 else route.template
        path = re.sub(r"\{\w+\}", lambda _: quote(rng.choice(NAMES), safe="%"), path)
        if rng.random() < 0.05:
            path = rng.choice([path[: rng.randrange(1, len(path))], f"{path}/x", path.replace("/", "//"), runs[0]])
        query = "&".join(rng.sample(FLAGS, rng.randrange(3)))
        if query:
            path = f"{path}?{query}" + (rng.choice(NAMES[:4]) if query.endswith("=") else "")
        method = route.method if rng.random() < 0.95 else rng.choice(["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"])
        headers = {"if-match": rng.choice(['"x"', "*", "", "\x7f"])} if rng.random() < 0.1 else {}
        yield method, path, content(rng), headers


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_no_request_makes_the_server_fail(tmp_path: Path, seed: int) -> None:
    count = 2_000 if seed == 1 else 5_000
    with open_workspace(tmp_path / "home", create=True) as workspace, ExitStack() as stack:
        front = stack.enter_context(closing(Front(workspace)))
        statuses: dict[int, int] = {}
        for number, (method, path, body, headers) in enumerate(requests(seed, count)):
            if number % 50 == 0:
                for name, document in (
                    ("", {"location": "local"}),
                    ("/pipelines/P", PIPELINE),
                    ("/linkedservices/Store", BLOB),
                ):
                    front.put(f"{FACTORY}{name}", document)
            answer = front.call(method, path, content=body, headers=headers)
            statuses[answer.status] = statuses.get(answer.status, 0) + 1
            assert answer.status < 500 or answer.status == 501, (method, path, body, answer.body)
            if answer.body and method != "HEAD" and path.startswith(("/subscriptions/", "/providers/")):
                json.loads(answer.body)
    assert statuses.get(200, 0) > count // 20
    assert {400, 404} <= statuses.keys()
