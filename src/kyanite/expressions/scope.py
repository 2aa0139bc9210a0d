"""What an expression can see, and the budget of one evaluation."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

from kyanite import limits
from kyanite.errors import ExpressionError

Json: TypeAlias = Any


class Missing(Enum):
    """The type of MISSING."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
"""Stands for 'there is no value here', which null does not."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, repr=False, eq=False)
class Scope:
    """The values behind `pipeline()`, `variables()`, `activity()`, `item()`, `dataset()` ... of one evaluation.

    `activities` holds the finished activities only, each with `output`, `Status`, `error`; `pipeline` the system
    variables that are set (one that is left out fails without `?.`, as a manual run's parent does).
    Values are shared with results and must not be changed afterwards.
    """

    parameters: Mapping[str, Json] = field(default_factory=dict)
    global_parameters: Mapping[str, Json] = field(default_factory=dict)
    variables: Mapping[str, Json] = field(default_factory=dict)
    activities: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    pipeline: Mapping[str, Json] = field(default_factory=dict)
    item: Json | Literal[Missing.MISSING] = MISSING
    dataset: Mapping[str, Json] | None = None
    linked_service: Mapping[str, Json] | None = None
    trigger: Json | Literal[Missing.MISSING] = MISSING
    trigger_body: Json | Literal[Missing.MISSING] = MISSING
    now: Callable[[], datetime] = _now
    new_guid: Callable[[], uuid.UUID] = uuid.uuid4

    @cached_property
    def pipeline_value(self) -> dict[str, Json]:
        """The object that `pipeline()` gives."""
        own = {"parameters": self.parameters, "globalParameters": self.global_parameters}
        return {**self.pipeline, **own}


class Evaluation:
    """One evaluation under way: its scope and what it may still spend."""

    __slots__ = ("fuel", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.fuel = limits.EXPRESSION_FUEL

    def spend(self, steps: int) -> None:
        """Pay for work: a tree node is one step, sixteen looked-at items another. Raises ExpressionError when spent."""
        self.fuel -= steps
        if self.fuel < 0:
            raise ExpressionError(
                f"The expression needs more than {limits.EXPRESSION_FUEL} steps.",
                cure="Do the work in smaller pieces, over several activities.",
            )

    def reserve(self, size: int) -> None:
        """Ask before a value of `size` characters is built; a KiB costs one step."""
        if size > limits.EXPRESSION_RESULT_BYTES:
            raise ExpressionError(f"The result would be larger than {limits.EXPRESSION_RESULT_BYTES} bytes.")
        self.spend(size >> 10)

    def reserve_items(self, count: int) -> None:
        """Ask before an array of `count` items is built; an item counts as 16 characters."""
        self.reserve(count << 4)


Thunk: TypeAlias = Callable[[Evaluation], Json]
"""A part of an expression, ready to be evaluated: what lazy functions get as arguments."""
