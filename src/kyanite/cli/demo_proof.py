"""What the demonstration promises, measured on the files themselves: no row lost, no part too large, all alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kyanite.cli.output import count, print_table, size
from kyanite.cli.session import Session, visible

if TYPE_CHECKING:
    from kyanite.storage import StorageAccount


@dataclass(frozen=True)
class Measured:
    """A parquet file in the account, its rows as its footer counts them."""

    name: str
    size: int
    rows: int


@dataclass(frozen=True)
class Proof:
    """The files before, between and after, and the largest a part may be, in bytes."""

    inputs: tuple[Measured, ...]
    merged: tuple[Measured, ...]
    parts: tuple[Measured, ...]
    target: int

    def faults(self) -> list[str]:
        """What is not as promised; empty when all is well."""
        before, between, after = (rows_of(files) for files in (self.inputs, self.merged, self.parts))
        found = []
        if not self.parts:
            found.append("there are no parts")
        if not before == between == after:
            found.append(f"rows differ: {count(before)} in, {count(between)} merged, {count(after)} out")
        found += [
            f"{part.name} is larger than the target ({count(part.size)} > {count(self.target)} bytes)"
            for part in self.parts
            if part.size > self.target
        ]
        return found


def rows_of(files: Sequence[Measured]) -> int:
    """The rows of all files together."""
    return sum(file.rows for file in files)


def measure(account: StorageAccount, container: str, target: int) -> Proof:
    """Read the footers of the tutorial's three folders."""
    return Proof(
        inputs=_measured(account, container, "input"),
        merged=_measured(account, container, "source"),
        parts=_measured(account, container, "target"),
        target=target,
    )


def _measured(account: StorageAccount, container: str, folder: str) -> tuple[Measured, ...]:
    from kyanite.parquet.footer import read_footer
    from kyanite.parquet.model import Source

    found = []
    for entry in account.list(container, folder, recursive=True):
        if not entry.name.endswith((".parq", ".parquet")):
            continue
        source = Source(entry.path, partial(account.open_read, container, entry.path), entry.size)
        rows = sum(group.rows for group in read_footer(source).row_groups)
        found.append(Measured(entry.path, entry.size, rows))
    return tuple(found)


def show_proof(session: Session, proof: Proof) -> None:
    """The parts as a table, and the sums."""
    session.echo("\nParts")
    rows = [
        [visible(part.name), count(part.rows), count(part.size), f"{part.size / proof.target:.1%}"]
        for part in proof.parts
    ]
    print_table(session, ["part", "rows", "bytes", "of target"], rows, right=("rows", "bytes", "of target"))
    sizes = [part.size for part in proof.parts]
    before, after = rows_of(proof.inputs), rows_of(proof.parts)
    session.echo(f"\nrows in   {count(before):>12}  in {len(proof.inputs):,} files, {size(_bytes(proof.inputs))}")
    session.echo(f"rows out  {count(after):>12}  in {len(proof.parts):,} parts, {size(_bytes(proof.parts))}")
    session.echo(f"lost      {count(before - after):>12}")
    if sizes:
        session.echo(f"largest / smallest part  {max(sizes) / min(sizes):.3f}")


def proof_json(proof: Proof) -> dict[str, Any]:
    """The proof for a program."""
    return {
        "rowsIn": rows_of(proof.inputs),
        "rowsOut": rows_of(proof.parts),
        "targetBytes": proof.target,
        "parts": [{"name": part.name, "rows": part.rows, "bytes": part.size} for part in proof.parts],
        "faults": proof.faults(),
    }


def _bytes(files: Sequence[Measured]) -> int:
    return sum(file.size for file in files)
