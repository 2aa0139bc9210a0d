"""How parts are named and how large they may be."""

from __future__ import annotations

import re
import string

from kyanite.errors import UserError
from kyanite.storage.model import printable

NAME_TEMPLATE = "{prefix}-{index:05d}.parquet"
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([kmgt]?)(i?)b?\Z", re.IGNORECASE)
_FORMS = "Write 100MB, 100MiB, 4194304B or a number of bytes."
_WIDTH = re.compile(r"(?:0?(\d{1,2}))?d?\Z")


def parse_size(size: int | str) -> int:
    """Bytes of `100MB` (decimal), `100MiB` (binary), `4194304B` or a number; UserError for anything else."""
    if isinstance(size, str):
        match = _SIZE.match(size.strip())
        if match is None or (match[3] and not match[2]):
            raise UserError(f"`{printable(size)}` is no size.", cure=_FORMS)
        power = " kmgt".index(match[2].lower() or " ")
        # exact also for fractions: 1.5MB is 1500000
        whole, _, fraction = match[1].partition(".")
        scale = (1024 if match[3] else 1000) ** power
        size = int(whole) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UserError(f"The size of the parts must be a positive number of bytes, not {size!r}.", cure=_FORMS)
    return size


class PartNaming:
    """Names of parts by a template of `{prefix}` and `{index}` (with a width, `{index:05d}`), and the names so made."""

    def __init__(self, prefix: str, template: str) -> None:
        self._prefix = prefix
        pieces: list[str] = []
        pattern = ""
        indexes = 0
        for literal, field, width, conversion in _pieces(template):
            pattern += re.escape(literal)
            pieces.append(literal.replace("{", "{{").replace("}", "}}"))
            if field is None:
                continue
            fits = (field == "prefix" and not width) or (field == "index" and _WIDTH.match(width or ""))
            if not fits or conversion:
                raise UserError(
                    f"`{template}` is no template for part names.",
                    cure="Use {prefix} and {index}, or {index:05d} for a fixed width.",
                )
            pattern += re.escape(prefix) if field == "prefix" else r"\d+"
            pieces.append(f"{{{field}:{width}}}" if width else f"{{{field}}}")
            indexes += field == "index"
        if indexes != 1:
            raise UserError(f"The template `{template}` must hold {{index}} once.")
        self._template = "".join(pieces)
        self._pattern = re.compile(f"{pattern}\\Z")
        if "/" in self.name(0):
            raise UserError(f"`{self.name(0)}` is no file name.", cure="Name the folder in the output address.")

    def name(self, index: int) -> str:
        """The name of part `index`, counted from 0."""
        return self._template.format(prefix=self._prefix, index=index)

    def matches(self, name: str) -> bool:
        """Whether a file name is that of some part."""
        return self._pattern.match(name) is not None


def _pieces(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(template))
    except ValueError as problem:
        raise UserError(f"`{template}` is no template for part names: {problem}.") from problem
