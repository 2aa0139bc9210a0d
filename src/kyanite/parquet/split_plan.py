"""A split as a description: which rows of which row groups each part holds; JSON that another process can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from kyanite.errors import DataError
from kyanite.parquet.model import Work

RAW, CUT, ENCODED = "raw", "cut", "encoded"
VERSION = 1


@dataclass(frozen=True)
class PlannedPiece:
    """Rows `first` .. `last` (exclusive) of `count` row groups from `row_group` on, of source number `source`.

    `how`: "raw" whole row groups copied as they are; "cut" a slice at pages; "encoded" a slice of, or the whole, row
    group number `fresh` of those that encoding the row group anew gives. `bytes` is predicted.
    """

    source: int
    row_group: int
    count: int
    first: int
    last: int
    how: str
    bytes: int
    fresh: int | None = None


@dataclass(frozen=True)
class PlannedPart:
    """One part to be, rows `first_row` .. `first_row + rows` of the input; `bytes` (the whole file's) is predicted.

    `max_bytes` is the target it was planned for; `dictionary_limit` the bytes of dictionaries that slices may repeat,
    None without a limit; `merged` says that the sources are first merged by column name, each time a part is written.
    """

    name: str
    first_row: int
    rows: int
    bytes: int
    pieces: tuple[PlannedPiece, ...]
    max_bytes: int | None = None
    dictionary_limit: float | None = None
    merged: bool = False

    def work(self, how: str) -> Work:
        """Row groups and predicted bytes of the pieces of one kind."""
        chosen = [piece for piece in self.pieces if piece.how == how]
        return Work(sum(piece.count for piece in chosen), sum(piece.bytes for piece in chosen))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PlannedPart:
        """The part that `to_json` described; `DataError` for anything else."""
        try:
            pieces = tuple(PlannedPiece(**piece) for piece in document["pieces"])
            part = cls(**{**document, "pieces": pieces})
        except (TypeError, KeyError) as error:
            raise DataError(f"This does not describe a part of a split: {error}") from error
        if sum(piece.last - piece.first for piece in pieces) != part.rows:
            raise DataError(f"The pieces of {part.name} do not add up to {part.rows} rows.")
        return part


class SplitPlan(NamedTuple):
    """All parts of a split, in row order, and the (name, bytes) of the sources they are cut from."""

    parts: tuple[PlannedPart, ...]
    sources: tuple[tuple[str, int], ...]
    rows: int

    @property
    def bytes_in(self) -> int:
        """Bytes of the sources."""
        return sum(size for _, size in self.sources)

    @property
    def bytes_out(self) -> int:
        """Predicted bytes of the parts."""
        return sum(part.bytes for part in self.parts)

    def work(self, how: str) -> Work:
        """Row groups and predicted bytes of "raw", "cut" or "encoded" pieces over all parts."""
        return sum((part.work(how) for part in self.parts), Work())

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "version": VERSION,
            "rows": self.rows,
            "sources": [{"name": name, "bytes": size} for name, size in self.sources],
            "parts": [part.to_json() for part in self.parts],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SplitPlan:
        """The plan that `to_json` described; `DataError` for anything else."""
        if document.get("version") != VERSION:
            raise DataError(f"A plan of version {document.get('version')!r} is not known; {VERSION} is.")
        try:
            sources = tuple((source["name"], source["bytes"]) for source in document["sources"])
            parts = tuple(PlannedPart.from_json(part) for part in document["parts"])
            return cls(parts, sources, document["rows"])
        except (TypeError, KeyError) as error:
            raise DataError(f"This does not describe a split: {error}") from error
