"""What a split is asked for and what it tells: sizes in bytes, rows counted from 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from kyanite.errors import UserError
from kyanite.movement.part_names import NAME_TEMPLATE, PartNaming, parse_size

VERIFY_MODES = ("fast", "deep", "none")
CHECKSUMS = ("fast", "sha256", "none")
PREFIX = "part"


class SplitProgress(NamedTuple):
    """How far a split is: `rows` in finished parts, `bytes` written of about `total_bytes`, finished `parts`."""

    rows: int
    bytes: int
    parts: int
    total_bytes: int


Progress = Callable[[SplitProgress], None]


@dataclass(frozen=True)
class Options:
    """How to split, checked: exactly one of `max_bytes`, `parts` and `rows` is given."""

    max_bytes: int | None = None
    parts: int | None = None
    rows: int | None = None
    merge: bool | None = None
    prefix: str | None = None
    name_template: str = NAME_TEMPLATE
    checksum: str = "fast"
    verify: str = "fast"
    workers: int | None = None
    sync: bool = False

    def __post_init__(self) -> None:
        given = [value for value in (self.max_bytes, self.parts, self.rows) if value is not None]
        if len(given) != 1:
            raise UserError("Give exactly one of max_size, parts and rows.")
        for name, value in (("parts", self.parts), ("rows", self.rows), ("workers", self.workers)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UserError(f"`{name}` must be a whole number above 0, not {value!r}.")
        for name, mode, known in (("verify", self.verify, VERIFY_MODES), ("checksum", self.checksum, CHECKSUMS)):
            if mode not in known:
                raise UserError(f"`{mode}` is no way to {name}.", cure=f"Known are {', '.join(known)}.")
        PartNaming(self.prefix or PREFIX, self.name_template)

    def document(self) -> dict[str, Any]:
        """What decides the bytes of the parts and their names, as the manifest keeps it."""
        sizes = {"maxBytes": self.max_bytes, "parts": self.parts, "rows": self.rows}
        target = {name: value for name, value in sizes.items() if value is not None}
        names = {"prefix": self.prefix, "nameTemplate": self.name_template}
        return {"target": target, "merge": self.merge, **names, "checksum": self.checksum}


def options(*, max_size: int | str | None, **more: Any) -> Options:
    """The checked options of a call; `max_size` may be a text such as `100MB`."""
    return Options(max_bytes=None if max_size is None else parse_size(max_size), **more)


class SplitPart(NamedTuple):
    """One part: file name, address, rows `first_row` .. `first_row + rows` of its input (of all inputs when merged).

    `oversize`: one row alone is larger than the target. `checksum` is `crc32:...` or `sha256:...`; None in a plan.
    Of its row groups `whole` are copied as they are, `cut` are slices at pages, `encoded` are made anew; None when the
    part was there already. `input` is the index of its input when each has its own parts.
    """

    name: str
    path: str
    rows: int
    bytes: int
    first_row: int = 0
    oversize: bool = False
    checksum: str | None = None
    input: int | None = None
    whole: int | None = None
    cut: int | None = None
    encoded: int | None = None


class SplitResult(NamedTuple):
    """What a split did, or with `dry_run` what it would do; `rows_in` always equals `rows_out`.

    `inputs` are the addresses read, in order; `bytes_in` counts them whole. Of the bytes written, `bytes_raw` are row
    groups copied as they are, `bytes_cut` are slices of row groups - their pages copied but for `bytes_rewritten` of
    pages right at a cut -, `bytes_encoded` were encoded anew; None where that is not known. `up_to_date`: the same
    parts were there already and nothing was written.
    """

    parts: tuple[SplitPart, ...]
    inputs: tuple[str, ...]
    rows_in: int
    rows_out: int
    bytes_in: int
    bytes_out: int
    seconds: float
    max_bytes: int | None = None
    manifest: str | None = None
    verified: str = "none"
    bytes_raw: int | None = None
    bytes_cut: int | None = None
    bytes_rewritten: int | None = None
    bytes_encoded: int | None = None
    merged: bool = False
    dry_run: bool = False
    up_to_date: bool = False
