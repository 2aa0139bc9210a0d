"""Split one parquet blob into equal parts of at most so many MB: the program of the pipeline's Custom activity.

    python splitparquet.py ACCOUNT KEY CONTAINER OUTPUT_FOLDER BLOB MB

The six arguments are those of the tutorial; 1 MB is 1,048,576 bytes and may be a fraction. KEY `-` (or an empty
argument) means: no key, use the right that this workspace has on its own accounts. The exit code is 0 only when every
row of the blob is in a part; a failure is one line on stderr. Parts of an earlier run are replaced.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import kyanite

if TYPE_CHECKING:
    from kyanite.movement.split import SplitResult

MEGABYTE = 1_048_576
PART_NAME = "part{index:04d}.parq"
USAGE = "usage: python splitparquet.py ACCOUNT KEY|- CONTAINER OUTPUT_FOLDER BLOB MB"


def address(account: str, container: str, path: str) -> str:
    """The address of a blob or folder; slashes around the path do not matter."""
    return f"https://{account}.blob.core.windows.net/{container}/{path.strip('/')}"


def bytes_of(megabytes: str) -> int:
    """A size argument in bytes; ValueError when it is not a positive number."""
    size = float(megabytes) * MEGABYTE
    if not 1 <= size < 2**63:
        raise ValueError
    return int(size)


def in_megabytes(size: int) -> str:
    """A number of bytes as MB of 1,048,576 with two decimals."""
    return f"{size / MEGABYTE:,.2f} MB"


def report(result: SplitResult, blob: str, max_size: int) -> list[str]:
    """What was done, in the lines that the tutorial shows, and what it does not show: where every row is."""
    mean = result.rows_out / max(1, len(result.parts))
    lines = [
        f"Total records in the original file: {result.rows_in:,}",
        f"Total size of the blob file: {blob} is {result.bytes_in:,} bytes or {in_megabytes(result.bytes_in)}",
        f"The file will be split in chunks of up to {in_megabytes(max_size)}, similar in size",
        f"The resulting parquet will be split into {len(result.parts):,} files",
        f"Total records written per file will be about: {mean:,.0f}",
    ]
    for part in result.parts:
        lines.append(
            f"Validating the # of records written in file: {part.name} is {part.rows:,} "
            f"Size: {in_megabytes(part.bytes)} (rows {part.first_row:,} to {part.first_row + part.rows:,}, "
            f"{part.bytes / max_size:.0%} of the target)"
        )
    lines.append(f"rows in {result.rows_in:,}, rows out {result.rows_out:,}, {len(result.parts)} parts")
    return lines


def main(arguments: list[str]) -> int:
    """Split what the arguments name and print the parts; the result is the exit code."""
    if len(arguments) != 6:
        print(f"{len(arguments)} arguments given, 6 needed; {USAGE}", file=sys.stderr)
        return 1
    account, key, container, folder, blob, megabytes = arguments
    try:
        max_size = bytes_of(megabytes)
    except ValueError:
        print(f"MB must be a number above 0, not {megabytes!r}; {USAGE}", file=sys.stderr)
        return 1
    credential = None if key in {"", "-"} else key
    source, target = address(account, container, blob), address(account, container, folder)
    try:
        result = kyanite.split(
            source, target, max_size=max_size, credential=credential, name_template=PART_NAME, overwrite=True
        )
    except kyanite.KyaniteError as error:
        text = " ".join(str(error).split())
        print(f"splitparquet: {text.replace(credential, '***') if credential else text}", file=sys.stderr)
        return 1
    print(*report(result, blob, max_size), f"{source} -> {target}/", sep="\n")
    if result.rows_in != result.rows_out:
        print(f"splitparquet: {result.rows_in - result.rows_out:,} rows are missing", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
