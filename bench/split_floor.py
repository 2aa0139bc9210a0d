"""The bytes of a file in as many files as a split would give, on the disk and summed up: no parquet, nothing planned.

    python bench/split_floor.py FILE FOLDER BYTES

What any Python program pays that copies in the system, syncs and takes CRC-32 in threads, as one process of
`kyanite split --sync` does.
"""

from __future__ import annotations

import mmap
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from anycrc import Model

MAPPED_BYTES = 8 << 20


def crc32(file: int, size: int) -> int:
    """The checksum of a file, mapped piece by piece."""
    calculate, crc = Model("CRC32").calc, 0
    for at in range(0, size, MAPPED_BYTES):
        length = min(MAPPED_BYTES, size - at)
        with mmap.mmap(file, length, prot=mmap.PROT_READ, offset=at) as piece:
            crc = calculate(piece, crc)
    return int(crc)


def main(path: Path, folder: Path, most: int) -> None:
    folder.mkdir(exist_ok=True)
    source = os.open(path, os.O_RDONLY)
    total = os.fstat(source).st_size
    count = -(-total // most)
    share = -(-total // count // 4096) * 4096  # whole pages: copied faster
    with ThreadPoolExecutor(2) as syncing, ThreadPoolExecutor(2) as summing:
        done: list[Future[Any]] = []
        for number in range(count):
            file = os.open(folder / f"{number}", os.O_RDWR | os.O_CREAT)
            size, at = min(share, total - number * share), 0
            while at < size:
                at += os.copy_file_range(source, file, size - at, number * share + at, at)
            done += [syncing.submit(os.fsync, file), summing.submit(crc32, file, size)]
        for each in done:
            each.result()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
