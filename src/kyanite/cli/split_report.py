"""What a split did, or would do: a table of parts and the proof below it, or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kyanite.cli.output import count, duration, print_table, size
from kyanite.cli.session import Session, visible

if TYPE_CHECKING:
    from kyanite.movement.split_model import SplitPart, SplitResult

FIRST_SHOWN, LAST_SHOWN = 40, 10


def result_json(result: SplitResult) -> dict[str, Any]:
    """A split's result as JSON."""
    return {
        "rowsIn": result.rows_in,
        "rowsOut": result.rows_out,
        "bytesIn": result.bytes_in,
        "bytesOut": result.bytes_out,
        "bytesRaw": result.bytes_raw,
        "bytesCut": result.bytes_cut,
        "bytesRewritten": result.bytes_rewritten,
        "bytesEncoded": result.bytes_encoded,
        "maxBytes": result.max_bytes,
        "seconds": result.seconds,
        "merged": result.merged,
        "dryRun": result.dry_run,
        "upToDate": result.up_to_date,
        "verified": result.verified,
        "manifest": result.manifest,
        "inputs": list(result.inputs),
        "spread": spread(result),
        "parts": [_part_json(part) for part in result.parts],
    }


def _part_json(part: SplitPart) -> dict[str, Any]:
    return {
        "name": part.name,
        "path": part.path,
        "rows": part.rows,
        "bytes": part.bytes,
        "firstRow": part.first_row,
        "oversize": part.oversize,
        "checksum": part.checksum,
        "input": part.input,
        "rowGroups": {"whole": part.whole, "cut": part.cut, "encoded": part.encoded},
    }


def show_result(session: Session, result: SplitResult) -> None:
    """The parts as a table - the first and the last ones when they are many - and below it the sums."""
    if result.up_to_date:
        session.echo("up to date: these parts are there already, made of the same inputs with the same options\n")
    if result.dry_run:
        session.echo("plan: nothing is written\n")
    rows = [_row(result, part) for part in result.parts]
    hidden = len(rows) - FIRST_SHOWN - LAST_SHOWN
    if hidden > 0:
        rows[FIRST_SHOWN:-LAST_SHOWN] = [[f"... {count(hidden)} more", "", "", "", "", ""]]
    headers = ["part", "size", "bytes", "rows", "fill", "row groups"]
    print_table(session, headers, rows, right=("size", "bytes", "rows", "fill"))
    session.echo()
    for line in summary(result):
        session.echo(line)


def _row(result: SplitResult, part: SplitPart) -> list[str]:
    full = result.max_bytes or max(part.bytes for part in result.parts)
    fill = f"{part.bytes / full:.1%}"
    return [visible(part.name), size(part.bytes), count(part.bytes), count(part.rows), fill, _made_of(part)]


def _made_of(part: SplitPart) -> str:
    """`12 + 2 cut + 1 encoded`, and why a part is larger than the target."""
    ways = ((part.whole, ""), (part.cut, " cut"), (part.encoded, " encoded"))
    text = " + ".join(f"{number:,}{way}" for number, way in ways if number)
    return f"{text}: one row alone is larger" if part.oversize else text


def spread(result: SplitResult) -> float | None:
    """The largest part divided by the smallest; None without parts."""
    sizes = [part.bytes for part in result.parts]
    return max(sizes) / min(sizes) if sizes else None


def summary(result: SplitResult) -> list[str]:
    """Sizes, rows, and how the bytes were made, as lines."""
    sizes = [part.bytes for part in result.parts]
    lines = []
    if sizes:
        mean = sum(sizes) / len(sizes)
        lines.append(
            f"{count(len(sizes))} parts: smallest {size(min(sizes))}, mean {size(mean)}, largest {size(max(sizes))}, "
            f"largest/smallest {spread(result):.3f}"
        )
    if result.max_bytes:
        over = sum(part.bytes > result.max_bytes for part in result.parts)
        lines.append(f"target {size(result.max_bytes)} ({count(result.max_bytes)} bytes): {_over(over)}")
    lines.append(f"{count(result.rows_in)} rows in, {count(result.rows_out)} rows out{_lost(result)}")
    lines.append(
        f"{size(result.bytes_in)} in {count(len(result.inputs))} files, {size(result.bytes_out)} out{_ways(result)}"
    )
    if not result.dry_run and not result.up_to_date:
        rate = f", {size(result.bytes_out / result.seconds)}/s" if result.seconds > 0 else ""
        lines.append(f"{duration(result.seconds)}{rate}; verified: {result.verified}; manifest {result.manifest}")
    return [visible(line) for line in lines]


def _over(parts: int) -> str:
    return f"{count(parts)} parts are larger: one row alone is" if parts else "no part is larger"


def _lost(result: SplitResult) -> str:
    lost = result.rows_in - result.rows_out
    return f", {count(lost)} LOST" if lost else ": none lost"


def _ways(result: SplitResult) -> str:
    """How much was copied raw, cut and encoded anew, in percent of what was written."""
    if result.bytes_raw is None or not result.bytes_out:
        return ""

    def share(number: int | None) -> str:
        return f"{(number or 0) / result.bytes_out:.1%}"

    rewritten = f" ({share(result.bytes_rewritten)} rewritten)" if result.bytes_rewritten is not None else ""
    return (
        f": {share(result.bytes_raw)} copied raw, {share(result.bytes_cut)} cut at pages{rewritten}, "
        f"{share(result.bytes_encoded)} encoded anew"
    )
