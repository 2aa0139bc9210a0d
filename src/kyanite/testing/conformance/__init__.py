"""Runs files of cases: expressions, small pipelines with scripted outcomes, triggers.

One line of a file is one case as JSON. A kind of file is one module with `failure_of(case)`: why a case fails, as what
was wanted and what came, or None.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from kyanite.errors import KyaniteError

Json = Any

KINDS = {
    "control_flow": "kyanite.testing.conformance.control_flow",
    "expressions": "kyanite.testing.conformance.expressions",
    "triggers": "kyanite.testing.conformance.triggers",
}


@dataclass(frozen=True)
class Failure:
    """Why a case fails: what it wanted and what came."""

    wanted: str
    got: str


@dataclass(frozen=True)
class Verdict:
    """What became of one case; `contested` is the text of a case whose sources disagree."""

    id: str
    title: str
    failure: Failure | None
    contested: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the case came out as wanted."""
        return self.failure is None


class Kind(Protocol):
    """What the module of a kind of file offers."""

    def failure_of(self, case: Mapping[str, Json]) -> Failure | None:
        """Why a case fails, or None; may raise anything, which is a failure too."""

    def title_of(self, case: Mapping[str, Json]) -> str:
        """A case in a few words."""


def run_cases(kind: str, lines: Iterable[str]) -> Iterator[Verdict]:
    """A verdict for every line that is not blank; a line that is no case is a failure, never an exception."""
    module = cast(Kind, import_module(KINDS[kind]))
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _verdict(module, number, line)


def _verdict(module: Kind, number: int, line: str) -> Verdict:
    place = f"line {number}"
    try:
        case = json.loads(line)
    except ValueError as error:
        return Verdict(place, "", Failure("one case as JSON", f"no JSON: {error}"))
    if not isinstance(case, dict):
        return Verdict(place, "", Failure("one case as JSON", f"no object: {shown(case)}"))
    title, failure = "", None
    try:
        title = module.title_of(case)
        failure = module.failure_of(case)
    except KyaniteError as error:
        failure = Failure("no error", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - whatever a case provokes is this case's result; the others go on
        failure = Failure("no error", f"unexpected {type(error).__name__}: {error}")
    contested = case.get("contested")
    return Verdict(str(case.get("id", place)), title, failure, str(contested) if contested else None)


def shown(value: Json) -> str:
    """A value in a message: JSON, cut when it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text):,} characters)"


def same(wanted: Json, got: Json) -> bool:
    """Deep equality of JSON values: `1` equals `1.0`, `true` does not equal `1`, the order of keys does not count."""
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(same(value, got[key]) for key, value in wanted.items())
    if isinstance(wanted, list) and isinstance(got, list):
        return len(wanted) == len(got) and all(same(a, b) for a, b in zip(wanted, got, strict=True))
    return bool(wanted == got)
