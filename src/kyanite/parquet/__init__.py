"""Parquet files joined and cut without decoding them; knows file objects only, nothing of stores."""

from kyanite.parquet.compare import Verified, verify
from kyanite.parquet.merge import merge
from kyanite.parquet.model import ByCopies, FileOpener, MergeResult, Part, Sink, Source, SplitResult, Work, Writer
from kyanite.parquet.part import write_part
from kyanite.parquet.split import plan, split
from kyanite.parquet.split_plan import PlannedPart, PlannedPiece, SplitPlan

__all__ = [
    "ByCopies",
    "FileOpener",
    "MergeResult",
    "Part",
    "PlannedPart",
    "PlannedPiece",
    "Sink",
    "Source",
    "SplitPlan",
    "SplitResult",
    "Verified",
    "Work",
    "Writer",
    "merge",
    "plan",
    "split",
    "verify",
    "write_part",
]
