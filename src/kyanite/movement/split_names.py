"""The names of parts: one naming for all inputs together, or one per input after its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kyanite.movement.part_names import PartNaming


class Namings:
    """The namings of one split, told apart by their prefixes."""

    def __init__(self, prefixes: Sequence[str], template: str) -> None:
        self._prefixes = tuple(prefixes)
        self.template = template
        self.all = tuple(PartNaming(prefix, template) for prefix in prefixes)

    def match(self, name: str) -> bool:
        """Whether a file name is that of some part."""
        return any(naming.matches(name) for naming in self.all)

    def document(self) -> dict[str, Any]:
        """The namings as JSON."""
        return {"prefixes": self._prefixes, "template": self.template}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Namings:
        """The namings of a `document()`."""
        return cls([str(prefix) for prefix in document["prefixes"]], str(document["template"]))


def prefixes_of(paths: Sequence[str], prefix: str | None) -> list[str]:
    """A prefix per input: `prefix-` before it when given, the file's name without suffix, and so many of the folders
    above it as tell files of one name apart; a number where even that does not.
    """
    levels = [_levels(path) for path in paths]
    depths = [1] * len(paths)
    while True:
        names = ["-".join(parts[-depth:]) for parts, depth in zip(levels, depths, strict=True)]
        counts = Counter(names)
        deeper = [
            depth + 1 if counts[name] > 1 and depth < len(parts) else depth
            for name, depth, parts in zip(names, depths, levels, strict=True)
        ]
        if deeper == depths:
            break
        depths = deeper
    taken, numbers = set[str](), dict.fromkeys(names, 1)
    for place, name in enumerate(names):
        while names[place] in taken:
            numbers[name] += 1
            names[place] = f"{name}-{numbers[name]}"
        taken.add(names[place])
    return [f"{prefix}-{name}" if prefix else name for name in names]


def _levels(path: str) -> list[str]:
    """The folders of a path and the file's name without its suffix."""
    *folders, name = path.strip("/").split("/")
    stem = name.rpartition(".")[0]
    return [*folders, stem or name]
