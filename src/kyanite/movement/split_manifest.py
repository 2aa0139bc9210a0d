"""The manifest of a split, `_kyanite_split.json`: which files beside it are the parts, of what they were made.

It is written last. Who reads the parts it names, at `folder` below it, never sees a half set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from kyanite._version import __version__
from kyanite.connections import Connection
from kyanite.errors import DataError
from kyanite.limits import SPLIT_MANIFEST_BYTES
from kyanite.movement.split_inputs import InputFile
from kyanite.storage.model import join

MANIFEST = "_kyanite_split.json"
WORK_FOLDER = "_kyanite_split"
FORMAT = 1
_STAGE = re.compile(rf"{WORK_FOLDER}/[0-9a-f-]{{1,100}}\Z")


class ManifestPart(NamedTuple):
    """One part: rows `first_row` .. of its input (of all inputs when `input` is None), `checksum` as `kind:hex`."""

    name: str
    rows: int
    bytes: int
    first_row: int
    checksum: str | None = None
    oversize: bool = False
    input: int | None = None


class Manifest(NamedTuple):
    """A finished set. `folder` is "" once the parts lie beside the manifest, else where they lie until then.

    `replaces` are files of the older set that go when the parts have their place. `schemas` are fingerprints, one for
    all parts or one per input.
    """

    options: Mapping[str, Any]
    inputs: tuple[Mapping[str, Any], ...]
    parts: tuple[ManifestPart, ...]
    schemas: tuple[str, ...]
    folder: str = ""
    replaces: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)

    def encode(self) -> bytes:
        """The manifest's file."""
        document = {
            "kind": "kyanite split",
            "format": FORMAT,
            "createdBy": f"kyanite {__version__}",
            **self.options,
            "rows": self.rows,
            "bytes": sum(part.bytes for part in self.parts),
            "schemas": self.schemas,
            "inputs": self.inputs,
            "parts": [_part_document(part) for part in self.parts],
        }
        if self.folder:
            document |= {"folder": self.folder, "replaces": self.replaces}
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def input_document(file: InputFile) -> dict[str, Any]:
    """What the manifest says of an input: enough to know whether it is still the same file."""
    return {
        "path": file.url,
        "bytes": file.entry.size,
        "modified": file.entry.modified.isoformat(),
        "etag": file.entry.etag,
    }


def read_manifest(connection: Connection, folder: str) -> Manifest | None:
    """The manifest in a folder, or None; DataError when the file is not one that this version understands."""
    path = join(folder, MANIFEST)
    entry = connection.stat(path)
    if entry is None:
        return None
    where = connection.url(path)
    if entry.is_folder or entry.size > SPLIT_MANIFEST_BYTES:
        raise _unknown(where)
    with connection.open_read(path) as file:
        data = file.read()
    try:
        return decode(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise _unknown(where) from problem


def decode(document: Any) -> Manifest:
    """The manifest of a parsed file; KeyError, TypeError or ValueError when it is none."""
    if document["kind"] != "kyanite split" or document["format"] != FORMAT:
        raise ValueError
    folder = document.get("folder", "")
    if folder and not _STAGE.match(folder):
        raise ValueError
    names = ("target", "merge", "prefix", "nameTemplate", "checksum")
    return Manifest(
        options={name: document[name] for name in names},
        inputs=tuple(dict(one) for one in document["inputs"]),
        parts=tuple(_part(one) for one in document["parts"]),
        schemas=tuple(str(one) for one in document["schemas"]),
        folder=folder,
        replaces=tuple(_file_name(name) for name in document.get("replaces", ())),
    )


def _unknown(where: str) -> DataError:
    return DataError(
        "This is no manifest of a split, or one of a newer kyanite.",
        where=where,
        cure="Split into another folder, or remove the file.",
    )


def _part_document(part: ManifestPart) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": part.name,
        "rows": part.rows,
        "bytes": part.bytes,
        "firstRow": part.first_row,
        "checksum": part.checksum,
    }
    if part.oversize:
        document["oversize"] = True
    if part.input is not None:
        document["input"] = part.input
    return document


def _part(document: Mapping[str, Any]) -> ManifestPart:
    rows, size, first_row = (document[name] for name in ("rows", "bytes", "firstRow"))
    if not all(isinstance(number, int) and number >= 0 for number in (rows, size, first_row)):
        raise ValueError
    return ManifestPart(
        _file_name(document["name"]),
        rows,
        size,
        first_row,
        checksum=document.get("checksum"),
        oversize=bool(document.get("oversize")),
        input=document.get("input"),
    )


def _file_name(name: Any) -> str:
    """A name that leads nowhere but to a file beside the manifest: files are removed by it."""
    if not isinstance(name, str) or not name or "/" in name or name in (".", "..", MANIFEST, WORK_FOLDER):
        raise ValueError
    return name
