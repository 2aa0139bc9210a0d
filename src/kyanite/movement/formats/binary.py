"""Binary datasets: bytes as they are; merging puts the files one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from kyanite.connections import Writer
from kyanite.errors import ActivityError, DataError, UnsupportedError
from kyanite.limits import COPY_CHUNK_BYTES
from kyanite.movement.formats.format import Cancelled, Format, Moved, Progress
from kyanite.parquet import Source


def check(source: Mapping[str, Any], sink: Mapping[str, Any]) -> None:
    """UnsupportedError when a dataset asks for compressing or decompressing."""
    for side, properties in (("source", source), ("sink", sink)):
        compression = properties.get("compression")
        kind = compression.get("type") if isinstance(compression, Mapping) else compression
        if kind and str(kind).lower() != "none":
            raise UnsupportedError(
                f"`compression` of type `{kind}` in the {side} dataset is not supported for Binary.",
                cure="Without it the bytes are copied as they are, compressed or not.",
            )


def move(
    sources: Sequence[Source], out: Writer, sink: Mapping[str, Any], progress: Progress, cancelled: Cancelled
) -> Moved:
    """Append the sources' bytes in order; DataError when a file gives fewer or more bytes than its size."""
    checksum = hashlib.md5(usedforsecurity=False)
    total = 0
    for number, source in enumerate(sources):
        read = 0
        with source.open() as file:
            while chunk := file.read(COPY_CHUNK_BYTES):
                if cancelled():
                    raise ActivityError("The copy was cancelled; nothing was committed.", code="Cancelled")
                out.write(chunk)
                checksum.update(chunk)
                read += len(chunk)
                progress(0, total + read, number)
        if read != source.size:
            raise DataError(f"{read} bytes were read of a file of {source.size}: it changed.", where=source.name)
        total += read
        progress(0, total, number + 1)
    if out.tell() != total:
        raise DataError(f"{out.tell()} bytes were written where {total} were read.", code="UserErrorDataInconsistency")
    return Moved(total, checksum=checksum.hexdigest())


def verify(file: BinaryIO, size: int, moved: Moved, name: str) -> None:
    """DataError when size or MD5 of what was written differ from what was read."""
    checksum = hashlib.md5(usedforsecurity=False)
    read = 0
    while chunk := file.read(COPY_CHUNK_BYTES):
        checksum.update(chunk)
        read += len(chunk)
    if (read, checksum.hexdigest()) != (moved.bytes_read, moved.checksum) or read != size:
        raise DataError(
            f"{read} bytes stand in the sink where {moved.bytes_read} were read, or their MD5 differs.",
            where=name,
            code="UserErrorDataInconsistency",
        )


BINARY = Format("Binary", extension=None, has_rows=False, check=check, move=move, verify=verify)
