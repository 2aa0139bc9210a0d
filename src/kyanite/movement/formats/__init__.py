"""Dataset types that a copy can read and write."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from kyanite.errors import UnsupportedError
from kyanite.movement.formats.format import Format, Moved

FORMATS = {
    "Binary": "binary:BINARY",
    "Parquet": "parquet:PARQUET",
}


def open_format(dataset: str, kind: str) -> Format:
    """The format of a dataset type; UnsupportedError naming the type and those supported."""
    place = FORMATS.get(kind)
    if place is None:
        raise UnsupportedError(
            f"Dataset `{dataset}` is of type `{kind}`, which Copy does not support here.",
            cure=f"Supported are {', '.join(FORMATS)}.",
        )
    module, _, name = place.partition(":")
    return cast(Format, getattr(import_module(f"kyanite.movement.formats.{module}"), name))


__all__ = ["FORMATS", "Format", "Moved", "open_format"]
