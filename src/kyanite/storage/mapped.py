"""Ranges of open files looked at through memory that the system maps to them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager

MAPPED_BYTES = 8 * 1024 * 1024  # of one range
_FLAGS = {"flags": mmap.MAP_SHARED | mmap.MAP_POPULATE} if hasattr(mmap, "MAP_POPULATE") else {}


@contextmanager
def mapped(descriptor: int, start: int, size: int) -> Iterator[memoryview | None]:
    """Bytes `start` .. `start + size` of an open file; None where it is shorter, or of a file system without maps.

    Who looks at bytes that another program has cut off since is ended by the system (SIGBUS); who has the system write
    them elsewhere gets an OSError (EFAULT).
    """
    before = start % mmap.ALLOCATIONGRANULARITY
    try:
        memory = mmap.mmap(descriptor, before + size, prot=mmap.PROT_READ, offset=start - before, **_FLAGS)
    except (OSError, ValueError):
        yield None
        return
    with memory, memoryview(memory) as whole, whole[before:] as view:
        yield view
