"""How names of a container are stored as names of files: as they are, wherever a file system can hold them.

A part that it cannot hold (empty, `.` or `..`, one that looks like a stored escape, and in accounts without folders a
blob whose name is also a folder) is stored with a prefix; a part of more bytes than a file name may have becomes
nested folders.
"""

from __future__ import annotations

from collections.abc import Sequence

from kyanite.limits import PATH_PART_BYTES

ESCAPED = ".kyanite~"  # the rest is the name itself
CONTINUED = ".kyanite+"  # the rest is a beginning of the name, the part below it goes on
BESIDE_FOLDER = ".kyanite="  # a blob whose own name is taken by a folder, in accounts without folders
_PIECE_BYTES = PATH_PART_BYTES - len(ESCAPED)


def stored_part(part: str) -> tuple[str, ...]:
    """The file names, one below the other, that stand for one part of a path."""
    if part and part[0] != "." and len(part) < PATH_PART_BYTES // 4:
        return (part,)
    if part in ("", ".", "..") or part.startswith((ESCAPED, CONTINUED, BESIDE_FOLDER)):
        return escaped_part(part)
    return (part,) if len(part.encode()) <= PATH_PART_BYTES else escaped_part(part)


def escaped_part(part: str) -> tuple[str, ...]:
    """The escaped spelling of a part."""
    pieces = _pieces(part)
    return (*(CONTINUED + piece for piece in pieces[:-1]), ESCAPED + pieces[-1])


def _pieces(text: str) -> list[str]:
    pieces = [""]
    size = 0
    for character in text:
        width = len(character.encode())
        if size + width > _PIECE_BYTES:
            pieces.append("")
            size = 0
        pieces[-1] += character
        size += width
    return pieces


def stored_parts(path: str) -> tuple[str, ...]:
    """The file names for a path; () for the empty one."""
    if not path:
        return ()
    return tuple(name for part in path.split("/") for name in stored_part(part))


def is_continued(name: str) -> bool:
    """Whether a stored name is only the beginning of a part."""
    return name.startswith(CONTINUED)


def read_name(name: str) -> str:
    """What a stored name says: the part, or of a continued one its beginning."""
    return name[len(ESCAPED) :] if name.startswith((ESCAPED, CONTINUED, BESIDE_FOLDER)) else name


def beside_folder(name: str) -> str | None:
    """The stored name of a blob where a folder has its own stored name; None when that would be too long."""
    other = BESIDE_FOLDER + read_name(name)
    return other if len(other.encode()) <= PATH_PART_BYTES else None


def read_parts(names: Sequence[str]) -> str:
    """The path that stored names stand for."""
    parts: list[str] = []
    begun = ""
    for name in names:
        if is_continued(name):
            begun += read_name(name)
        else:
            parts.append(begun + read_name(name))
            begun = ""
    return "/".join(parts)
