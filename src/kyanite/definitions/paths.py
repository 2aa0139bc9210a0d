"""JSON paths as people read them: `properties.activities[0].typeProperties['odd key']`."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*\Z")


def join(path: str, key: str | int) -> str:
    """The path of a member (text) or an item (number) below `path`; the root is the empty text."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _PLAIN.match(key):
        return f"{path}.{key}" if path else key
    quoted = key.replace("'", "''")
    return f"{path}['{quoted}']"


def descend(path: str, *keys: str | int) -> str:
    """The path several steps below `path`."""
    for key in keys:
        path = join(path, key)
    return path
