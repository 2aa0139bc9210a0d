"""Problems of triggers that show without running them: rules that a start would refuse, and surprising ones."""

from __future__ import annotations

from collections.abc import Iterator

from kyanite.definitions.model import Factory
from kyanite.definitions.problem import Problem, error, warning
from kyanite.engine.triggers import read_trigger
from kyanite.engine.triggers.recurrence import Recurrence, next_fire
from kyanite.engine.triggers.starts import starts_of
from kyanite.engine.triggers.tumbling import Tumbling
from kyanite.engine.triggers.values import MICROSECOND
from kyanite.errors import DefinitionError, UnsupportedError

_SHORTEST_WINDOW = 5  # minutes, in the service


def check_triggers(factory: Factory) -> Iterator[Problem]:
    """Each trigger's first mistake, else what its author may not expect."""
    for trigger in factory.triggers.values():
        try:
            starts_of(trigger)
            rule = read_trigger(trigger)
        except UnsupportedError:
            continue  # the check of types says so
        except DefinitionError as problem:
            path = (problem.where or "").partition(": ")[2]
            place = f"properties.{path}" if path else "properties"
            yield error("BadTrigger", trigger.place, place, problem.message, problem.cure or "")
            continue
        if isinstance(rule, Recurrence):
            yield from _recurrence(rule, trigger.place)
        elif isinstance(rule, Tumbling):
            yield from _tumbling(rule, trigger.place)


def _recurrence(rule: Recurrence, file: str) -> Iterator[Problem]:
    path = "properties.typeProperties.recurrence.schedule"
    if next_fire(rule, rule.first - MICROSECOND) is None:
        yield warning("NeverFires", file, path, "The trigger never fires.", "Look at its days and at its endTime.")
    if rule.schedule is None or not rule.schedule.minutes:
        return
    if rule.frequency == "Hour":
        message = "Data Factory's calculator refuses a schedule with the frequency Hour; here its minutes count."
        yield warning("ScheduleOnHour", file, path, message, "Use the frequency Day with hours and minutes.")
    elif not rule.schedule.hours:
        message = f"`minutes` without `hours` fires in the hour of the start ({rule.start.hour}) only."
        yield warning("MinutesWithoutHours", file, path, message, "Write the hours out.")


def _tumbling(rule: Tumbling, file: str) -> Iterator[Problem]:
    if rule.frequency == "Minute" and rule.interval < _SHORTEST_WINDOW:
        message = f"Data Factory has no windows shorter than {_SHORTEST_WINDOW} minutes."
        path = "properties.typeProperties.interval"
        yield warning("ShortWindow", file, path, message, "It runs here; make it longer for the cloud.")
