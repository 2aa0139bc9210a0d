"""Functions that read the scope: `pipeline()`, `activity()`, `variables()`, `item()`, `dataset()` ..."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from kyanite.errors import ExpressionError
from kyanite.expressions.functions.arguments import text
from kyanite.expressions.scope import MISSING, Evaluation, Json
from kyanite.expressions.values import find_key

NAMES_SHOWN = 20
NAME_SHOWN = 200


def pipeline(evaluation: Evaluation) -> Json:
    """System variables, `parameters` and `globalParameters`."""
    return evaluation.scope.pipeline_value


def activity(evaluation: Evaluation, name: Json) -> Json:
    """Result of an activity that has ended in this run."""
    activities = evaluation.scope.activities
    found = find_key(activities, text(name))
    if found is None:
        raise ExpressionError(
            f"The activity '{clipped(name)}' has no result in this run: it has not ended, was skipped or does not "
            f"exist; {names_text('activities with a result', activities)}.",
            cure=near_text(name, activities) or "Make the activity depend on it.",
        )
    return activities[found]


def variables(evaluation: Evaluation, name: Json) -> Json:
    """Current value of a variable."""
    known = evaluation.scope.variables
    found = find_key(known, text(name))
    if found is None:
        raise ExpressionError(
            f"The variable '{clipped(name)}' doesn't exist, {names_text('available variables', known)}.",
            cure=near_text(name, known) or "Declare it under the pipeline's variables.",
        )
    return known[found]


def item(evaluation: Evaluation) -> Json:
    """The current item of a ForEach or Filter."""
    if evaluation.scope.item is MISSING:
        raise ExpressionError(
            "The expression 'item()' can only be used in the filter activity or child activities of a foreach activity."
        )
    return evaluation.scope.item


def dataset(evaluation: Evaluation) -> Json:
    """Argument values of the dataset that is being read."""
    if evaluation.scope.dataset is None:
        raise ExpressionError("The expression 'dataset()' can only be used in the JSON of a dataset.")
    return evaluation.scope.dataset


def linked_service(evaluation: Evaluation) -> Json:
    """Argument values of the linked service that is being read."""
    if evaluation.scope.linked_service is None:
        raise ExpressionError("The expression 'linkedService()' can only be used in the JSON of a linked service.")
    return evaluation.scope.linked_service


def trigger(evaluation: Evaluation) -> Json:
    """What made the trigger fire."""
    if evaluation.scope.trigger is MISSING:
        raise ExpressionError("The expression 'trigger()' can only be used in the JSON of a trigger.")
    return evaluation.scope.trigger


def trigger_body(evaluation: Evaluation) -> Json:
    """The event that made the trigger fire."""
    if evaluation.scope.trigger_body is MISSING:
        raise ExpressionError("The expression 'triggerBody()' can only be used in the JSON of an event trigger.")
    return evaluation.scope.trigger_body


def names_text(title: str, names: Iterable[str]) -> str:
    """`available x are 'a, b, c'`, cut after twenty names."""
    known = list(names)
    shown = ", ".join(map(clipped, known[:NAMES_SHOWN])) + (", ..." if len(known) > NAMES_SHOWN else "")
    return f"{title} are '{shown}'" if known else f"there are no {title}"


def near_text(name: str, names: Iterable[str]) -> str | None:
    """`Did you mean 'x'?` when a known name is close, else None."""
    known = {str(known).lower(): str(known) for known in list(names)[:1000]}
    near = get_close_matches(clipped(name.lower()), known, n=1)
    return f"Did you mean '{known[near[0]]}'?" if near else None


def clipped(name: str) -> str:
    """A name as a message shows it: cut when it is very long."""
    return name if len(name) <= NAME_SHOWN else name[:NAME_SHOWN] + "..."
