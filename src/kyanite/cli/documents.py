"""JSON files that a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kyanite.definitions.json_text import read_json
from kyanite.errors import DefinitionError, LimitError, NotFoundError
from kyanite.limits import DOCUMENT_BYTES


def read_text(path: Path) -> str:
    """The text of a file; NotFoundError, DefinitionError (not UTF-8) or LimitError name it."""
    try:
        if path.stat().st_size > DOCUMENT_BYTES:
            raise LimitError(f"The file is larger than {DOCUMENT_BYTES:,} bytes.", where=str(path))
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise NotFoundError("There is no such file.", where=str(path)) from None
    except IsADirectoryError:
        raise DefinitionError("This is a folder; a JSON file is needed.", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"The file is not UTF-8 text (byte {error.start}).", where=str(path), cure="Save it as UTF-8."
        ) from None


def read_object(path: Path, *, comments: bool = False) -> dict[str, Any]:
    """The JSON object in a file; DefinitionError with line and column when it is broken.

    `comments` allows `//` and `/* */`, as templates and their parameter files may have them.
    """
    value = read_json(read_text(path), str(path), comments=comments)
    if not isinstance(value, dict):
        raise DefinitionError("A JSON object is needed here.", where=str(path))
    return value


def read_parameters(path: Path) -> dict[str, Any]:
    """Parameter values of a file: plain `{"name": value}`, or an ARM parameters file."""
    document = read_object(path, comments=True)
    entries = document.get("parameters")
    if not isinstance(entries, dict) or not (
        "$schema" in document or set(document) <= {"parameters", "contentVersion"}
    ):
        return document
    values: dict[str, Any] = {}
    for name, entry in entries.items():
        if not isinstance(entry, dict) or "value" not in entry:
            raise DefinitionError(
                "A parameter of an ARM parameters file needs a `value`.",
                where=f"{path}: parameters.{name}",
                cure="Key Vault references are not followed; give the value itself.",
            )
        values[name] = entry["value"]
    return values
