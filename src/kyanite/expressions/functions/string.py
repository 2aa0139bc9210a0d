"""String functions. Texts are measured in UTF-16 units; search of a position ignores case, replacement does not."""

from __future__ import annotations

from uuid import UUID

from kyanite.expressions import values
from kyanite.expressions.functions.arguments import ArgumentRefused, integer, text
from kyanite.expressions.scope import Evaluation, Json

# .NET's white space; Python's own strip() would take four control characters more
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def concat(evaluation: Evaluation, *items: Json) -> str:
    """The text forms of all arguments in a row."""
    return joined(evaluation, items, "")


def joined(evaluation: Evaluation, items: tuple[Json, ...] | list[Json], delimiter: str) -> str:
    """Text forms with a delimiter between them; the size is asked for before the result is built."""
    texts = [item if type(item) is str else values.text_form(item, evaluation) for item in items]
    size = sum(map(len, texts)) + len(delimiter) * len(texts)
    if size > 1024:
        evaluation.reserve(size)
    return delimiter.join(texts)


def ends_with(evaluation: Evaluation, whole: Json, part: Json) -> bool:
    """Whether a text ends with another, in any case."""
    return values.upper(text(whole)).endswith(values.upper(text(part, 1)))


def starts_with(evaluation: Evaluation, whole: Json, part: Json) -> bool:
    """Whether a text begins with another, in any case."""
    return values.upper(text(whole)).startswith(values.upper(text(part, 1)))


def index_of(evaluation: Evaluation, whole: Json, part: Json) -> int:
    """Where a text is first found in any case, -1 when nowhere."""
    folded = values.upper(text(whole))
    evaluation.spend(len(folded) >> 10)
    return values.unit_offset(folded, folded.find(values.upper(text(part, 1))))


def last_index_of(evaluation: Evaluation, whole: Json, part: Json) -> int:
    """Where a text is last found in any case, -1 when nowhere."""
    folded = values.upper(text(whole))
    evaluation.spend(len(folded) >> 10)
    return values.unit_offset(folded, folded.rfind(values.upper(text(part, 1))))


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
    total = values.length(source)
    if not 0 <= first < total:
        raise ArgumentRefused(1, f"The start index must be from 0 to less than the length of the string, {total}.")
    stop = total if size is None else first + integer(size, 2)
    if not first <= stop <= total:
        raise ArgumentRefused(2, f"The length must not be negative nor reach beyond the string's end at {total}.")
    return values.cut(source, first, stop)


def to_lower(evaluation: Evaluation, whole: Json) -> str:
    """Invariant lower case."""
    return values.lower(text(whole))


def to_upper(evaluation: Evaluation, whole: Json) -> str:
    """Invariant upper case."""
    return values.upper(text(whole))


def trim(evaluation: Evaluation, whole: Json) -> str:
    """Without white space at both ends."""
    return text(whole).strip(WHITE_SPACE)
