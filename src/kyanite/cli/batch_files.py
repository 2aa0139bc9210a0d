"""Files of tasks and nodes on the command line: listed, printed, saved, by range, followed while they grow."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from kyanite.cli.batch_target import Json, show_list
from kyanite.cli.output import count
from kyanite.cli.session import Session, silence, visible
from kyanite.errors import BatchError

if TYPE_CHECKING:
    from kyanite.batch.files import FileEntry

CHUNK = 1 << 20
_NOT_YET = ("EndpointUnreachable", "FileNotFound", "TaskFilesUnavailable", "TaskNotFound", "JobNotFound")


class OpenFile(Protocol):
    """A file that is being read."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Bytes from an offset on."""

    def close(self) -> None:
        """Let go of it."""


class ByteRange(click.ParamType[tuple[int | None, int | None]]):
    """`A-B`, `A-` or `-N`: bytes A to B, from A on, or the last N."""

    name = "A-B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, int | None]:
        """First and last byte; None for an end that is not given."""
        match = re.fullmatch(r"(\d*)-(\d*)", str(value))
        if match is None or not (match[1] or match[2]):
            self.fail("Write bytes as A-B, A- (from A on) or -N (the last N).", param, ctx)
        return (int(match[1]) if match[1] else None, int(match[2]) if match[2] else None)


recursive_option = click.option("-r", "--recursive", is_flag=True, help="Also what is in the folders below.")
range_option = click.option("--range", "span", type=ByteRange(), help="Only these bytes: A-B, A- or -N.")
output_option = click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Save it in the place of printing it."
)


def show_files(session: Session, entries: Iterable[FileEntry], base: str) -> None:
    """A listing as the service's documents or as a table."""
    from kyanite.batch import wire

    documents = [wire.file_json(entry, base) for entry in entries]
    columns: list[tuple[str, Callable[[Json], str]]] = [
        ("name", lambda item: visible(item["name"]) + ("/" if item["isDirectory"] else "")),
        ("bytes", lambda item: count(int(item["properties"]["contentLength"])) if "properties" in item else ""),
        ("modified (UTC)", lambda item: str(item.get("properties", {}).get("lastModified", ""))[:19].replace("T", " ")),
    ]
    show_list(session, documents, columns, right=("bytes",), none="no files")


def give(session: Session, file: OpenFile, span: tuple[int | None, int | None] | None, output: Path | None) -> None:
    """The bytes of a file on stdout as they are, or in a new file that appears when it is whole."""
    first, end = _bounds(file.size, span)
    if output is None:
        stream = sys.stdout.buffer if hasattr(sys.stdout, "buffer") else None
        for chunk in _chunks(file, first, end):
            try:
                if stream is None:
                    session.write(chunk.decode(errors="replace"), sys.stdout)
                else:
                    stream.write(chunk)
                    stream.flush()
            except BrokenPipeError:
                silence(sys.stdout)
                return
        return
    beside = output.with_name(f".{output.name}.part")
    with beside.open("wb") as out:
        for chunk in _chunks(file, first, end):
            out.write(chunk)
    beside.replace(output)
    if session.as_json:
        session.print_json({"file": str(output), "size": end - first})
    else:
        session.echo(f"{visible(str(output))}  {count(end - first)} bytes")


def _bounds(size: int, span: tuple[int | None, int | None] | None) -> tuple[int, int]:
    if span is None:
        return 0, size
    first, last = span
    if first is None:
        return max(0, size - (last or 0)), size
    return min(first, size), size if last is None else min(last + 1, size)


def _chunks(file: OpenFile, first: int, end: int) -> Iterable[bytes]:
    while first < end:
        chunk = file.read(first, min(CHUNK, end - first))
        if not chunk:
            return
        yield chunk
        first += len(chunk)


class Tail:
    """Prints what is new in one file, each time it is asked."""

    def __init__(self, session: Session, open_file: Callable[[], OpenFile]) -> None:
        self._session = session
        self._open = open_file
        self._offset = 0
        self._kept = b""

    def __call__(self, *, last: bool = False) -> None:
        """Print whole lines only, unless it is the last time; a file that cannot be read yet has nothing new."""
        try:
            file = self._open()
        except BatchError as error:
            if error.error_code in _NOT_YET:
                return
            raise
        try:
            for chunk in _chunks(file, self._offset, max(file.size, self._offset)):
                self._offset += len(chunk)
                self._kept += chunk
        finally:
            file.close()
        whole = len(self._kept) if last else self._kept.rfind(b"\n") + 1
        text, self._kept = self._kept[:whole].decode(errors="replace"), self._kept[whole:]
        if text:
            self._session.echo(visible(text) if self._session.is_terminal() else text, end="")
