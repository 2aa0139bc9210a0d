"""The sizes of the parts as a picture: a bar for each, and the target as a line."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyanite.errors import UnsupportedError, UserError

if TYPE_CHECKING:
    from kyanite.movement.split_model import SplitResult

SUFFIXES = (".png", ".svg")
NAMED_PARTS = 24  # more names would not be readable below their bars


def check_plot(path: Path) -> None:
    """Before a long split begins: the file's kind is known, its folder is there, matplotlib is installed."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"`{path.name}` is no picture that can be drawn.", cure=f"Name a {' or '.join(SUFFIXES)} file.")
    if not path.absolute().parent.is_dir():
        raise UserError("There is no such folder.", where=str(path.absolute().parent))
    if find_spec("matplotlib") is None:
        raise UnsupportedError(
            "`--plot` needs matplotlib, which is not installed.", cure="Install it: pip install 'kyanite[plot]'."
        )


def draw(result: SplitResult, path: Path) -> None:
    """Draw the parts' sizes, in MB of 10^6 bytes, against the target; the same result gives the same .svg."""
    matplotlib: Any = import_module("matplotlib")
    figures: Any = import_module("matplotlib.figure")
    sizes = [part.bytes / 1e6 for part in result.parts]
    with matplotlib.rc_context({"svg.hashsalt": "kyanite", "svg.fonttype": "none"}):
        figure = figures.Figure(figsize=(max(5.0, min(14.0, 0.4 * len(sizes) + 2)), 4), layout="constrained")
        axes = figure.add_subplot()
        over = [result.max_bytes is not None and part.bytes > result.max_bytes for part in result.parts]
        colors = ["#c0392b" if large else "#2e6f9e" for large in over]
        axes.bar(range(len(sizes)), sizes, width=0.8 if len(sizes) <= 100 else 1.0, color=colors)
        if result.max_bytes:
            axes.axhline(result.max_bytes / 1e6, color="#c0392b", linewidth=1, linestyle="--")
            axes.annotate("target", (0, result.max_bytes / 1e6), va="bottom", color="#c0392b", fontsize=8)
            axes.set_ylim(0, 1.1 * max([result.max_bytes / 1e6, *sizes]))
        if len(sizes) <= NAMED_PARTS:
            names = [part.name for part in result.parts]
            axes.set_xticks(range(len(sizes)), names, rotation=60, ha="right", fontsize=7)
        axes.set_ylabel("MB")
        axes.set_title(f"{len(sizes):,} parts, {result.rows_out:,} rows", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
        figure.savefig(path, dpi=150, metadata=metadata)
