"""String functions. Texts are measured in UTF-16 units; search of a position ignores case, replacement does not."""

from __future__ import annotations

from uuid import UUID

from kyanite.expressions import characters, values
from kyanite.expressions.functions.arguments import ArgumentRefused, integer, text
from kyanite.expressions.scope import Evaluation, Json


def concat(evaluation: Evaluation, *items: Json) -> str:
    """The text forms of all arguments in a row."""
    return values.joined(items, "", evaluation)


def ends_with(evaluation: Evaluation, whole: Json, part: Json) -> bool:
    """Whether a text ends with another, in any case."""
    source, wanted = text(whole), text(part, 1)
    evaluation.spend(len(wanted) >> 10)
    return characters.upper(source[max(len(source) - len(wanted), 0) :]) == characters.upper(wanted)


def starts_with(evaluation: Evaluation, whole: Json, part: Json) -> bool:
    """Whether a text begins with another, in any case."""
    source, wanted = text(whole), text(part, 1)
    evaluation.spend(len(wanted) >> 10)
    return characters.upper(source[: len(wanted)]) == characters.upper(wanted)


def index_of(evaluation: Evaluation, whole: Json, part: Json) -> int:
    """Where a text is first found in any case, -1 when nowhere."""
    evaluation.reserve(len(text(whole)))
    folded = characters.upper(whole)
    return characters.unit_offset(folded, folded.find(characters.upper(text(part, 1))))


def last_index_of(evaluation: Evaluation, whole: Json, part: Json) -> int:
    """Where a text is last found in any case, -1 when nowhere."""
    evaluation.reserve(len(text(whole)))
    folded = characters.upper(whole)
    return characters.unit_offset(folded, folded.rfind(characters.upper(text(part, 1))))


def guid(evaluation: Evaluation, form: Json = "D") -> str:
    """A new GUID in one of the .NET forms N, D, B, P, X."""
    value = evaluation.scope.new_guid()
    match text(form):
        case "N":
            return value.hex
        case "D":
            return str(value)
        case "B":
            return f"{{{value}}}"
        case "P":
            return f"({value})"
        case "X":
            return _guid_parts(value)
        case _:
            raise ArgumentRefused(0, "The format must be one of N, D, B, P, X.")


def _guid_parts(value: UUID) -> str:
    octets = ",".join(f"0x{octet:02x}" for octet in value.bytes[8:])
    return f"{{0x{value.time_low:08x},0x{value.time_mid:04x},0x{value.time_hi_version:04x},{{{octets}}}}}"


def replace(evaluation: Evaluation, whole: Json, old: Json, new: Json) -> str:
    """All occurrences replaced, from left to right, case-sensitively."""
    source, wanted, other = text(whole), text(old, 1), text(new, 2)
    if not wanted:
        raise ArgumentRefused(1, "The text to replace must not be empty.")
    size = len(source)
    if len(other) > len(wanted):
        size += source.count(wanted) * (len(other) - len(wanted))
    evaluation.reserve(size)
    return source.replace(wanted, other)


def split(evaluation: Evaluation, whole: Json, delimiter: Json) -> list[str]:
    """The pieces between the delimiters; empty pieces are kept."""
    source, mark = text(whole), text(delimiter, 1)
    if not mark:
        return [source]
    evaluation.reserve(len(source))
    evaluation.reserve_items(source.count(mark) + 1)
    return source.split(mark)


def substring(evaluation: Evaluation, whole: Json, start: Json, size: Json = None) -> str:
    """The part from `start`, which must lie inside the text; to its end without `size`."""
    source, first = text(whole), integer(start, 1)
    evaluation.spend(len(source) >> 10)
    total = characters.length(source)
    if not 0 <= first < total:
        raise ArgumentRefused(1, f"The start index must be from 0 to less than the length of the string, {total}.")
    stop = total if size is None else first + integer(size, 2)
    if not first <= stop <= total:
        raise ArgumentRefused(2, f"The length must not be negative nor reach beyond the string's end at {total}.")
    return characters.cut(source, first, stop)


def to_lower(evaluation: Evaluation, whole: Json) -> str:
    """Invariant lower case."""
    evaluation.reserve(len(text(whole)))
    return characters.lower(whole)


def to_upper(evaluation: Evaluation, whole: Json) -> str:
    """Invariant upper case."""
    evaluation.reserve(len(text(whole)))
    return characters.upper(whole)


def trim(evaluation: Evaluation, whole: Json) -> str:
    """Without white space at both ends."""
    evaluation.spend(len(text(whole)) >> 10)
    return str(whole).strip(characters.WHITE_SPACE)
