"""Parquet files joined and cut without decoding them; knows file objects only, nothing of stores."""

from kyanite.parquet.merge import merge
from kyanite.parquet.model import MergeResult, Part, Sink, Source, SplitResult, Writer
from kyanite.parquet.split import split

__all__ = ["MergeResult", "Part", "Sink", "Source", "SplitResult", "Writer", "merge", "split"]
