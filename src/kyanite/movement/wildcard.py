"""Data Factory's wildcards: `*` any characters, `?` zero or one, `^` makes a wildcard or itself literal.

A pattern is matched against one name, never across `/`, in time linear in the name.
"""

from __future__ import annotations

from functools import lru_cache

from kyanite.errors import LimitError
from kyanite.limits import PATH_CHARACTERS

_STAR, _MAYBE = object(), object()


class Wildcard:
    """A pattern compiled to bit masks, one bit per position: all ways to match are followed at once."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        tokens = _tokens(pattern)
        self.literal = None if _STAR in tokens or _MAYBE in tokens else "".join(map(str, tokens))
        self._accept = 1 << len(tokens)
        self._stars = _mask(tokens, _STAR)
        self._maybes = _mask(tokens, _MAYBE)
        self._literals = {token: _mask(tokens, token) for token in tokens if isinstance(token, str)}

    def matches(self, name: str) -> bool:
        """Whether the whole name fits; case-sensitive."""
        if self.literal is not None:
            return name == self.literal
        reached = self._skip(1)
        for character in name:
            if not reached:
                return False
            consumed = reached & (self._literals.get(character, 0) | self._maybes)
            reached = self._skip(consumed << 1 | reached & self._stars)
        return bool(reached & self._accept)

    def _skip(self, reached: int) -> int:
        """Positions also reached by letting `*` and `?` match nothing."""
        optional = self._stars | self._maybes
        while True:
            more = reached | (reached & optional) << 1
            if more == reached:
                return reached
            reached = more

    def __repr__(self) -> str:
        return f"Wildcard({self.pattern!r})"


@lru_cache(maxsize=256)
def wildcard(pattern: str) -> Wildcard:
    """The compiled pattern."""
    return Wildcard(pattern)


def _tokens(pattern: str) -> list[object]:
    if len(pattern) > PATH_CHARACTERS:
        raise LimitError(f"The wildcard `{pattern[:60]}…` is longer than {PATH_CHARACTERS} characters.")
    tokens: list[object] = []
    position = 0
    while position < len(pattern):
        character, following = pattern[position], pattern[position + 1 : position + 2]
        if character == "^" and following and following in "*?^":
            tokens.append(following)
            position += 2
            continue
        tokens.append({"*": _STAR, "?": _MAYBE}.get(character, character))
        position += 1
    return tokens


def _mask(tokens: list[object], wanted: object) -> int:
    return sum(1 << position for position, token in enumerate(tokens) if token is wanted or token == wanted)
