"""The command line: one file per command, each loaded only when it is asked for."""

from kyanite.cli.main import main

__all__ = ["main"]
