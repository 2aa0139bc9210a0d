"""Parquet files joined and cut without decoding them; knows file objects only, nothing of stores."""

from kyanite.parquet.merge import merge
from kyanite.parquet.model import FileOpener, MergeResult, Part, Sink, Source, SplitResult, Work, Writer
from kyanite.parquet.part import write_part
from kyanite.parquet.split import plan, split
from kyanite.parquet.split_plan import PlannedPart, PlannedPiece, SplitPlan

__all__ = [
    "FileOpener",
    "MergeResult",
    "Part",
    "PlannedPart",
    "PlannedPiece",
    "Sink",
    "Source",
    "SplitPlan",
    "SplitResult",
    "Work",
    "Writer",
    "merge",
    "plan",
    "split",
    "write_part",
]
