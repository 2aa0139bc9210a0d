"""Test only: KYANITE_FAULT makes this process fail at its N-th commit, so that crash tests can try every one.

`kill-before-commit:N`, `kill-after-commit:N`: SIGKILL right before or after the N-th commit; `disk-full:N`: the N-th
commit finds the disk full; `count:FILE`: the number of commits goes to FILE when a database closes and at exit.
Commits count from 1 over all databases of the process, migrations included. Unset, nothing of this runs.
"""

from __future__ import annotations

import atexit
import os
import signal
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path

from kyanite.errors import UserError

_NUMBERED = ("disk-full", "kill-after-commit", "kill-before-commit")


class Fault:
    """One planned failure and the commits counted so far."""

    def __init__(self, kind: str, argument: str) -> None:
        self._kind = kind
        self._number = 0 if kind == "count" else int(argument)
        self._file = Path(argument) if kind == "count" else None
        self._begun = 0
        self._lock = threading.Lock()

    def before_commit(self) -> int:
        """Called right before each COMMIT; its number."""
        with self._lock:
            self._begun += 1
            number = self._begun
        if number == self._number and self._kind == "kill-before-commit":
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self._number and self._kind == "disk-full":
            raise sqlite3.OperationalError("database or disk is full")
        return number

    def after_commit(self, number: int) -> None:
        """Called right after each COMMIT with the number that `before_commit` gave."""
        if number == self._number and self._kind == "kill-after-commit":
            os.kill(os.getpid(), signal.SIGKILL)

    def report(self) -> None:
        """Write the count, when that was asked for."""
        if self._file is not None:
            self._file.write_text(f"{self._begun}\n", encoding="ascii")


def planned(environment: Mapping[str, str]) -> Fault | None:
    """The failure that KYANITE_FAULT asks for; None when it is not set."""
    text = environment.get("KYANITE_FAULT")
    if not text:
        return None
    kind, _, argument = text.partition(":")
    if (kind not in _NUMBERED or not argument.isdecimal()) and not (kind == "count" and argument):
        raise UserError(
            f"KYANITE_FAULT={text} is not a planned failure.",
            cure=f"Use count:FILE or one of {', '.join(_NUMBERED)} with a colon and a number, or unset it.",
        )
    fault = Fault(kind, argument)
    atexit.register(fault.report)
    return fault
