"""Pool backends: what provides a pool's nodes. A kind is one file here and one line in `BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from kyanite.errors import UnsupportedError

BACKENDS = {
    "local": "kyanite.batch.pools.local:LocalNodes",
}


@dataclass(frozen=True)
class Order:
    """What the runner of an attempt is told; times are seconds."""

    argv: tuple[str, ...] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    task_folder: Path
    working_folder: Path
    wall_clock: float | None
    grace: float


@dataclass(frozen=True)
class Seen:
    """What is known of an attempt: unclaimed, running, fenced, lost, or ended with the runner's record."""

    status: str
    ending: Mapping[str, Any] | None = None


class PoolBackend(Protocol):
    """Nodes as folders and processes somewhere; an attempt is known by its own folder."""

    def node_folder(self, account: str, pool: str, node: str) -> Path:
        """The root folder of a node (AZ_BATCH_NODE_ROOT_DIR)."""

    def remove_node(self, account: str, pool: str, node: str) -> None:
        """Remove a node's folder; nothing runs there any more."""

    def stamp(self, account: str, pool: str) -> str | None:
        """Which build of the pool's environment is in place; None when there is none that fits."""

    def prepare(self, account: str, pool: str, say: Callable[[str], None]) -> str:
        """Put the pool's environment in place; the new stamp."""

    def environment(self, account: str, pool: str) -> dict[str, str]:
        """The node's part of a task's environment."""

    def attempt_folder(self, account: str, pool: str, node: str, attempt: int) -> Path:
        """The private folder of an attempt."""

    def launch(self, folder: Path, order: Order) -> Callable[[], int]:
        """Start the attempt's runner, detached; the answer waits for it."""

    def inspect(self, folder: Path) -> Seen:
        """Look at an attempt; what a lost runner left behind is ended before `lost` is said."""

    def fence(self, folder: Path) -> bool:
        """Make sure that no runner can ever take the attempt; False when one has it or its end is known."""

    def stop(self, folder: Path) -> None:
        """Ask the attempt's runner to end its command."""


def open_backend(name: str, root: Path, home: Path) -> PoolBackend:
    """The backend of that name; UnsupportedError names those that exist."""
    target = BACKENDS.get(name)
    if target is None:
        raise UnsupportedError(f"There is no pool backend '{name}'.", cure=f"Supported: {', '.join(sorted(BACKENDS))}.")
    module, _, attribute = target.partition(":")
    return cast(PoolBackend, getattr(import_module(module), attribute)(root, home))
