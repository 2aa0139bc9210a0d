"""The mocks of one run: which activity they answer for, and what happens to one that has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from kyanite.definitions.load import with_resource
from kyanite.definitions.model import Activity, Factory, Pipeline, make_resource
from kyanite.definitions.names import near
from kyanite.engine.control import CONTROL_ACTIVITIES
from kyanite.errors import NotFoundError, ParameterError
from kyanite.testing.outcomes import Call, Mock, Outcome, outcome_for, succeeded

Unmocked = Literal["error", "succeed"]

_CONTROL = {name.casefold() for name in CONTROL_ACTIVITIES}
_EITHER = {"executepipeline"}  # the child is run, or scripted, as the test likes


class Mocks:
    """Answers for attempts. A key is an activity's name, or `Pipeline/Activity` where a name occurs twice."""

    def __init__(
        self, factory: Factory, pipeline: Pipeline, mocks: Mapping[str, Mock], unmocked: Unmocked = "error"
    ) -> None:
        if unmocked not in ("error", "succeed"):
            raise ParameterError(f"unmocked={unmocked!r} is neither 'error' nor 'succeed'.")
        self._mocks = {key.casefold(): mock for key, mock in mocks.items()}
        self._unmocked = unmocked
        self._numbers: dict[str, int] = {}
        self._reachable = list(reachable_activities(factory, pipeline))
        self._refuse_strangers(mocks)

    def _refuse_strangers(self, mocks: Mapping[str, Mock]) -> None:
        known: dict[str, str] = {}
        for pipeline, activity in self._reachable:
            known[activity.name.casefold()] = known[f"{pipeline}/{activity.name}".casefold()] = activity.type
        for key in mocks:
            kind = known.get(key.casefold())
            if kind is None:
                names = [activity.name for _, activity in self._reachable]
                close = near(key, names)
                hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(names)}."
                raise NotFoundError(f"There is a mock for '{key}', but no such activity can be reached.", cure=hint)
            if kind.casefold() in _CONTROL - _EITHER:
                raise ParameterError(
                    f"'{key}' is of the type {kind}, which the engine itself carries out: it cannot be mocked.",
                    cure="Take the mock away; waits cost no time on the virtual clock.",
                )

    def outcome_of(self, call: Call) -> Outcome:
        """What an attempt does; NotFoundError naming every activity without a mock when this one has none."""
        told = self.told(call)
        if told is not None:
            return told
        if self._unmocked == "succeed":
            return succeeded()
        raise NotFoundError(
            f"Activity '{call.name}' ({call.type}) of pipeline {call.pipeline} was started but has no mock.",
            cure=f"Without a mock: {', '.join(self._unanswered())}. Give mocks={{'{call.name}': succeeded(...)}}, or "
            "unmocked='succeed'.",
        )

    def told(self, call: Call) -> Outcome | None:
        """What the mocks say about an attempt; None when there is no mock for it."""
        for key in (f"{call.pipeline}/{call.name}".casefold(), call.name.casefold()):
            if key in self._mocks:
                self._numbers[key] = self._numbers.get(key, 0) + 1
                return outcome_for(self._mocks[key], replace(call, number=self._numbers[key]))
        return None

    def _unanswered(self) -> list[str]:
        return list(
            dict.fromkeys(
                activity.name
                for pipeline, activity in self._reachable
                if activity.type.casefold() not in _CONTROL
                and activity.name.casefold() not in self._mocks
                and f"{pipeline}/{activity.name}".casefold() not in self._mocks
            )
        )


def reachable_activities(factory: Factory, pipeline: Pipeline) -> Iterator[tuple[str, Activity]]:
    """Every activity of a pipeline and of those it calls by literal name: (pipeline, activity)."""
    queue, seen = [pipeline], set()
    while queue:
        current = queue.pop(0)
        if current.name in seen:
            continue
        seen.add(current.name)
        for activity in current.walk():
            yield current.name, activity
            reference = activity.type_properties.get("pipeline")
            name = reference.get("referenceName") if isinstance(reference, dict) else None
            called = factory.pipelines.get(name, None) if isinstance(name, str) else None
            if called is not None:
                queue.append(called)


def with_mocked_children(factory: Factory, pipeline: Pipeline, mocks: Mapping[str, Mock]) -> Factory:
    """The factory with an empty pipeline for every child that is missing in it but mocked."""
    mocked = {key.casefold() for key in mocks}
    for owner, activity in reachable_activities(factory, pipeline):
        reference = activity.type_properties.get("pipeline")
        name = reference.get("referenceName") if isinstance(reference, dict) else None
        if not isinstance(name, str) or name in factory.pipelines:
            continue
        if mocked & {activity.name.casefold(), f"{owner}/{activity.name}".casefold()}:
            given = activity.type_properties.get("parameters") or {}
            declared = {parameter: {"type": "Any", "defaultValue": None} for parameter in given}
            document = {"name": name, "properties": {"activities": [], "parameters": declared}}
            factory = with_resource(factory, make_resource("pipeline", name, document))
    return factory
