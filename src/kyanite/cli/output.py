"""Texts for people: tables, sizes, durations, counts."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from kyanite.cli.session import Session, visible

STATUS_COLORS = {
    "Succeeded": "green",
    "Failed": "red",
    "TimedOut": "red",
    "Cancelled": "yellow",
    "Canceling": "yellow",
    "InProgress": "cyan",
    "Queued": "cyan",
    "Skipped": "bright_black",
    "Inactive": "bright_black",
    "error": "red",
    "warning": "yellow",
}
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def size(count: float | None) -> str:
    """A number of bytes with the unit people read it in (decimal: 1 MB = 1,000,000 bytes)."""
    if count is None:
        return ""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= factor:
            return f"{count / factor:.1f} {unit}" if count / factor < 100 else f"{count / factor:,.0f} {unit}"
    return f"{count:,.0f} B"


def count(value: Any) -> str:
    """A number with thousands separators; nothing for None."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def duration(seconds: float | None) -> str:
    """A length of time: `0.42 s`, `12.3 s`, `2 min 46 s`, `1 h 05 min`."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def status(text: str | None) -> str:
    """A status in its colour."""
    return click.style(text or "", fg=STATUS_COLORS.get(text or ""))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """Rows as aligned text; columns named in `right` are aligned to the right, continuation lines keep their column."""
    cells = [[str(cell).split("\n") for cell in row] for row in rows]
    widths = [
        max([_width(header), *(_width(line) for row in cells for line in row[index])])
        for index, header in enumerate(headers)
    ]
    lines = [_line([*headers], widths, headers, right), _line(["-" * width for width in widths], widths, headers, ())]
    for row in cells:
        for number in range(max(len(cell) for cell in row)):
            texts = [cell[number] if number < len(cell) else "" for cell in row]
            lines.append(_line(texts, widths, headers, right))
    return "\n".join(lines)


def print_table(
    session: Session,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    err: bool = False,
) -> None:
    """A table on the screen: folded to its width on a terminal, plain aligned text elsewhere. Cells are masked."""
    masked = [[session.mask(_visible_cell(str(cell))) for cell in row] for row in rows]
    stream = sys.stderr if err else sys.stdout
    if not session.is_terminal(err=err):
        session.write(table(headers, masked, right=right) + "\n", stream)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        grid.add_column(header, justify="right" if header in right else "left", overflow="fold")
    for row in masked:
        grid.add_row(*(Text.from_ansi(cell) for cell in row))
    Console(file=stream, no_color=session.color is False, highlight=False, markup=False).print(grid)


def _visible_cell(text: str) -> str:
    """Control characters spelled out, our own colours kept."""
    colours = _ANSI.findall(text)
    pieces = [visible(piece) for piece in _ANSI.split(text)]
    return "".join(piece + colour for piece, colour in zip(pieces, [*colours, ""], strict=True))


def _width(text: str) -> int:
    return len(_ANSI.sub("", text))


def _line(texts: Sequence[str], widths: Sequence[int], headers: Sequence[str], right: Sequence[str]) -> str:
    padded = []
    for text, width, header in zip(texts, widths, headers, strict=True):
        blank = " " * (width - _width(text))
        padded.append(blank + text if header in right else text + blank)
    return "  ".join(padded).rstrip()
