"""JSON text -> value, with limits and with errors that say where and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from kyanite import limits
from kyanite.definitions.paths import join
from kyanite.errors import DefinitionError, LimitError

Json = Any

_TEXT_OR_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_CURES = (
    ("Expecting property name", "Put the name in double quotes, or remove the comma before the closing brace."),
    ("Illegal trailing comma", "Remove the comma before the closing bracket or brace."),
    ("Expecting ',' delimiter", "Put a comma between the members, or close the text or list before this place."),
    ("Expecting ':' delimiter", "Put a colon between name and value."),
    ("Expecting value", "Put a value here, or remove the comma before this place."),
    ("Extra data", "Keep one JSON value in the file: remove what follows it."),
    ("Invalid control character", "Write a line break as \\n and a tab as \\t inside a text."),
    ("Invalid \\escape", "Write a backslash inside a text as \\\\."),
    ("Invalid \\uXXXX", "Write four hexadecimal digits after \\u, or \\\\u for a plain backslash."),
    ("Unterminated string", "Close the text with a double quote on the same line."),
)


def read_json(text: str, file: str, *, warn: Callable[[str, str], None] | None = None, comments: bool = False) -> Json:
    """The value of a JSON text; a leading byte order mark is accepted.

    Broken text is a DefinitionError with file, line and column; too large or too deep is a LimitError. `warn`
    (message, cure) hears of members that are given twice, where the last one counts. With `comments`, as in ARM
    templates, `//` and `/* */` outside of texts are skipped.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > limits.DOCUMENT_BYTES or len(text.encode("utf-8", "surrogatepass")) > limits.DOCUMENT_BYTES:
        raise LimitError(
            f"The document is larger than {limits.DOCUMENT_BYTES:,} bytes.",
            where=file,
            cure="Split it into smaller documents.",
        )
    if not text.strip():
        raise DefinitionError("The file is empty.", where=f"{file}:1:1", cure="Write a JSON object, or delete it.")
    if comments:
        text = _TEXT_OR_COMMENT.sub(lambda match: match[0] if match[0][0] == '"' else _blank(match[0]), text)
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_builder(warn))
    except json.JSONDecodeError as error:
        raise _broken(error, text, file) from None
    except RecursionError:
        raise _too_deep(file) from None
    except ValueError as error:
        raise DefinitionError(f"{error}.", where=file, cure="Write the number as a text.") from None
    check_shape(value, file)
    return value


def check_shape(value: Json, where: str) -> None:
    """Refuse what is nested too deep, has too many members, or holds text that no file can keep (LimitError)."""
    members = 0
    waiting: list[tuple[Json, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > limits.JSON_DEPTH and isinstance(item, dict | list):
            raise _too_deep(where)
        if isinstance(item, dict):
            members += len(item)
            waiting += ((child, depth + 1) for child in item.values())
            waiting += ((name, depth) for name in item if not name.isascii())
        elif isinstance(item, list):
            members += len(item)
            waiting += ((child, depth + 1) for child in item)
        elif isinstance(item, str) and not item.isascii():
            _refuse_lone_surrogate(item, where)
        if members > limits.JSON_KEYS:
            raise LimitError(
                f"The document has more than {limits.JSON_KEYS:,} members.",
                where=where,
                cure="Split it into smaller documents.",
            )


def find_objects(value: Json, path: str = "") -> list[tuple[str, dict[str, Json]]]:
    """Every object inside a value with its JSON path, outer before inner."""
    found: list[tuple[str, dict[str, Json]]] = []
    waiting: list[tuple[str, Json]] = [(path, value)]
    while waiting:
        place, item = waiting.pop()
        if isinstance(item, dict):
            found.append((place, item))
            waiting += [(join(place, key), child) for key, child in reversed(item.items())]
        elif isinstance(item, list):
            waiting += [(join(place, index), child) for index, child in reversed(list(enumerate(item)))]
    return found


def _blank(comment: str) -> str:
    """As many blanks, so that lines and columns stay."""
    return "".join(character if character in "\r\n" else " " for character in comment)


def _too_deep(where: str) -> LimitError:
    return LimitError(
        f"The document is nested deeper than {limits.JSON_DEPTH} levels.",
        where=where,
        cure="Move the inner part to a pipeline of its own and call it with ExecutePipeline.",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse_lone_surrogate(text: str, where: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DefinitionError(
            "A text holds half of a surrogate pair, which is no character.",
            where=where,
            cure="Write the character itself, or both \\u halves of it.",
        ) from None


def _object_builder(warn: Callable[[str, str], None] | None) -> Callable[[list[tuple[str, Json]]], dict[str, Json]]:
    def build(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        built = dict(pairs)
        if warn is not None and len(built) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for index, name in enumerate(names) if name in names[:index])
            warn(f"The member {twice!r} is given twice in one object; the last one counts.", "Remove one of them.")
        return built

    return build


def _broken(error: json.JSONDecodeError, text: str, file: str) -> DefinitionError:
    line = text.splitlines()[error.lineno - 1] if error.lineno <= len(text.splitlines()) else ""
    if line.lstrip().startswith(("<<<<<<<", "=======", ">>>>>>>")):
        cure = "Resolve the merge conflict and remove its marks."
    elif line.lstrip()[:2] in ("//", "/*") or line[error.colno - 1 : error.colno + 1] in ("//", "/*"):
        cure = "Remove the comment: JSON has none."
    else:
        cure = next((cure for start, cure in _CURES if error.msg.startswith(start)), "Correct the JSON.")
    what = f"This is no JSON: {error.msg[0].lower()}{error.msg[1:].removesuffix(' at')}."
    return DefinitionError(what, where=f"{file}:{error.lineno}:{error.colno}", cure=cure)
