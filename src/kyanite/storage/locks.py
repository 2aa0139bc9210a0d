"""Short exclusive moments: check what is there, then rename. They hold across processes and end with a kill."""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

_STRIPES = 256


@contextlib.contextmanager
def locked(account: Path | str, container: str, path: str) -> Iterator[None]:
    """Nobody else changes this name meanwhile; a few other names share its lock. Never nest two of them."""
    fd = lock(account, container, path)
    try:
        yield
    finally:
        os.close(fd)


def lock(account: Path | str, container: str, path: str) -> int:
    """The same for those who release it by closing the descriptor."""
    stripe = zlib.crc32(f"{container}/{path}".encode("utf-8", "surrogatepass")) % _STRIPES
    name = f"{account}/.locks/{stripe:02x}"
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(name, flags, 0o600)
    except FileNotFoundError:
        Path(account, ".locks").mkdir(mode=0o700, exist_ok=True)
        fd = os.open(name, flags, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except BaseException:
        os.close(fd)
        raise
    return fd
