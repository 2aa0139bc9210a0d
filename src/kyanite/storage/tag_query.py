"""Expressions about the tags of blobs: the conditions of a request, and what Find Blobs by Tags looks for.

Both compare tags with texts, character by character: `"Rank" >= '010' AND "Rank" < '100'`. Names may stand without
quotes when they are plain. Conditions also know `<>`, OR and brackets; a search knows `@container` instead.

https://learn.microsoft.com/azure/storage/blobs/storage-manage-find-blobs
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kyanite.errors import UserError
from kyanite.limits import TAG_CHARACTERS, TAG_NAME_CHARACTERS, TAG_QUERY_DEPTH, TAGS

CONTAINER = "@container"
_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<value>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*")|(?P<word>@?\w+)|(?P<sign><>|[<>]=|[=<>()]))""",
    re.ASCII,
)
_ALLOWED = re.compile(r"[A-Za-z0-9 +\-./:=_]*\Z")
_REPEATED = "can't have multiple conditions for a single tag unless they define a range"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A tag and what it is compared with. A blob without the tag never meets it."""

    name: str
    sign: str
    value: str

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether these tags meet it."""
        own = tags.get(self.name)
        return own is not None and _COMPARE[self.sign](own, self.value)


@dataclass(frozen=True, slots=True)
class Both:
    """Parts that must all hold."""

    parts: tuple[Term, ...]

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether these tags meet all."""
        return all(part.holds(tags) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """Parts of which one must hold."""

    parts: tuple[Term, ...]

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether these tags meet any."""
        return any(part.holds(tags) for part in self.parts)


Term = Comparison | Both | Either


@dataclass(frozen=True, slots=True)
class Search:
    """What Find Blobs by Tags looks for: `containers` empty means all of them."""

    comparisons: tuple[Comparison, ...]
    containers: tuple[str, ...] = ()

    def matches(self, tags: Mapping[str, str]) -> bool:
        """Whether a blob with these tags is found."""
        return bool(tags) and all(each.holds(tags) for each in self.comparisons)

    def covers(self, container: str) -> bool:
        """Whether blobs of the container are looked for."""
        return all(name == container for name in self.containers)

    def shown(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Those of the tags that the expression names."""
        named = {each.name for each in self.comparisons}
        return {name: value for name, value in tags.items() if name in named}


def read_condition(text: str) -> Term:
    """The expression of x-ms-if-tags. UserError `InvalidHeaderValue`."""
    try:
        return _Reader(text, conditional=True).read()
    except QueryError as problem:
        raise UserError(
            f"The value for one of the HTTP headers is not in the correct format. {problem}", code="InvalidHeaderValue"
        ) from problem


def read_search(text: str) -> Search:
    """The `where` of Find Blobs by Tags. UserError `InvalidQueryParameterValue`."""
    reader = _Reader(text, conditional=False)
    try:
        reader.read()
    except QueryError as problem:
        raise UserError(f"Error parsing query{problem}", code="InvalidQueryParameterValue") from problem
    found = reader.comparisons
    return Search(
        tuple(each for each in found if each.name != CONTAINER),
        tuple(each.value for each in found if each.name == CONTAINER),
    )


class QueryError(Exception):
    """Where and why an expression cannot be read."""


class _Reader:
    """Reads one expression by descending into it; `comparisons` are those that were read so far."""

    def __init__(self, text: str, *, conditional: bool) -> None:
        self.text = text
        self.at = 0
        self.conditional = conditional
        self.comparisons: list[Comparison] = []

    def read(self) -> Term:
        found = self._either(0)
        if self.text[self.at :].strip():
            raise self._error(f"unexpected {self._rest()!r}")
        return found

    def _either(self, depth: int) -> Term:
        parts = [self._both(depth)]
        while self._takes("word", "or"):
            if not self.conditional:
                raise self._error("unexpected or")
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Term:
        parts = [self._one(depth)]
        while self._takes("word", "and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self, depth: int) -> Term:
        if not self._takes("sign", "("):
            return self._comparison()
        if depth == TAG_QUERY_DEPTH:
            raise self._error("too many brackets")
        found = self._either(depth + 1)
        if not self._takes("sign", ")"):
            raise self._error("expected )")
        return found

    def _comparison(self) -> Comparison:
        name = self._name()
        sign = self._take("sign")
        if sign not in _COMPARE or (sign == "<>" and not self.conditional):
            raise self._error("expected an operator" if sign is None else f"unexpected {sign}")
        value = self._take("value")
        if value is None:
            raise self._error("expecting tag value")
        made = Comparison(name, sign, self._checked(value[1:-1].replace("''", "'"), TAG_CHARACTERS, 0))
        if not self.conditional:
            self._check_repeated(made)
        self.comparisons.append(made)
        return made

    def _name(self) -> str:
        quoted = self._take("name")
        if quoted is not None:
            return self._checked(quoted[1:-1].replace('""', '"'), TAG_NAME_CHARACTERS, 1)
        word = self._take("word")
        if word is None:
            raise self._error(f"expected a tag name, found {self._rest()!r}")
        if word.startswith("@"):
            if word != CONTAINER or self.conditional:
                raise self._error(f"unsupported parameter {word!r}")
            return word
        return self._checked(word, TAG_NAME_CHARACTERS, 1)

    def _checked(self, text: str, most: int, least: int) -> str:
        other = next((character for character in text if not _ALLOWED.match(character)), None)
        if other is not None:
            raise self._error(f"{other!r} not permitted in tag name or value")
        if not self.conditional and not least <= len(text) <= most:  # longer ones are compared, and are never there
            what = "tag" if least else "tag value"
            raise self._error(f"{what} must be between {least} and {most} characters in length")
        return text

    def _check_repeated(self, new: Comparison) -> None:
        """A tag is compared once, or with one lower and one upper bound; there are at most ten tags."""
        if new.name == CONTAINER and new.sign != "=":
            raise self._error(f"unexpected {new.sign}")
        same = [each for each in self.comparisons if each.name == new.name]
        if any("=" in (each.sign, new.sign) or each.sign[0] == new.sign[0] for each in same):
            raise self._error(_REPEATED)
        names = {each.name for each in (*self.comparisons, new)} - {CONTAINER}
        if len(names) > TAGS:
            raise QueryError(f": there can be at most {TAGS} unique tags in a query")

    def _take(self, kind: str) -> str | None:
        found = _TOKEN.match(self.text, self.at)
        if found is None or found[kind] is None:
            return None
        self.at = found.end()
        return found[kind]

    def _takes(self, kind: str, wanted: str) -> bool:
        before = self.at
        found = self._take(kind)
        if found is not None and found.lower() == wanted:
            return True
        self.at = before
        return False

    def _rest(self) -> str:
        return self.text[self.at :].strip()[:20]

    def _error(self, why: str) -> QueryError:
        return QueryError(f" at or near character position {self.at + 1}: {why}")
