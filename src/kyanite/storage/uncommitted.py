"""What every file that appears only with its `commit` has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class UncommittedFile(ABC):
    """A binary file that is only written, in order; closing it or leaving its `with` block without a commit aborts."""

    closed = False

    @abstractmethod
    def abort(self) -> None:
        """Drop everything written; the target stays as it was. Harmless after a commit or another abort."""

    def close(self) -> None:
        """Abort unless committed: a half-written file is never left behind."""
        self.abort()

    def readable(self) -> bool:
        """False: such a file is only written."""
        return False

    def writable(self) -> bool:
        """True until commit or abort."""
        return not self.closed

    def seekable(self) -> bool:
        """False: bytes are appended in order."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
