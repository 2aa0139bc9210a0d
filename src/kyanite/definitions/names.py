"""Look-up by name the way Data Factory does it: case does not count, the first spelling is kept."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from kyanite.errors import NotFoundError

Value = TypeVar("Value")
_RAISE: Any = object()


def near(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names most like `name`, best first, compared without case."""
    spelled: dict[str, str] = {}
    for candidate in known:
        spelled.setdefault(candidate.lower(), candidate)
    return [spelled[match] for match in difflib.get_close_matches(name.lower(), spelled, n=count, cutoff=0.6)]


def suggestion(name: str, known: Iterable[str], what: str) -> str:
    """The cure for an unknown name: the nearest names, otherwise the known ones."""
    known = list(known)
    matches = near(name, known)
    if matches:
        return f"Did you mean {' or '.join(repr(match) for match in matches)}?"
    if not known:
        return f"There are no {what}."
    shown = ", ".join(sorted(known, key=str.lower)[:12])
    return f"Known {what}: {shown}{', ...' if len(known) > 12 else ''}."


class Names(Mapping[str, Value], Generic[Value]):
    """A read-only mapping whose keys compare without case; of two keys that differ in case only, the first counts.

    `names["x"]` and `names.get("x")` raise NotFoundError with near names; `names.get("x", None)` does not raise.
    """

    def __init__(self, entries: Iterable[tuple[str, Value]], *, what: str, note: str = "") -> None:
        """`what` names the things in the plural ("pipelines"); `note` is added to the cure of an unknown name."""
        self._what = what
        self._note = note
        self._values: dict[str, Value] = {}
        self._spelling: dict[str, str] = {}
        for name, value in entries:
            if name.lower() not in self._spelling:
                self._spelling[name.lower()] = name
                self._values[name] = value

    def __getitem__(self, name: str) -> Value:
        spelling = self._spelling.get(name.lower())
        if spelling is None:
            cure = suggestion(name, self._values, self._what)
            singular = self._what.removesuffix("s") if self._what != "factories" else "factory"
            raise NotFoundError(f"There is no {singular} {name!r}.", cure=f"{cure} {self._note}".strip())
        return self._values[spelling]

    def get(self, name: str, default: Any = _RAISE) -> Any:
        """The value of a name; without a default an unknown name raises NotFoundError."""
        if default is _RAISE or name in self:
            return self[name]
        return default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._spelling

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Names({', '.join(self._values)})"
