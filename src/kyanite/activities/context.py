"""What an activity gets to do its work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kyanite.definitions.model import Activity, Factory

if TYPE_CHECKING:
    from kyanite.batch.service import BatchService
    from kyanite.secrets import Vault
    from kyanite.storage import StorageAccounts

Json = Any


class Services(Protocol):
    """The parts of a workspace that activities use; each is opened when it is first asked for."""

    @property
    def accounts(self) -> StorageAccounts:
        """The storage accounts of the workspace."""

    @property
    def batch(self) -> BatchService:
        """The Batch accounts of the workspace."""

    @property
    def vault(self) -> Vault:
        """Its secrets."""


@dataclass(frozen=True, slots=True)
class ActivityContext:
    """One attempt of one activity, its expressions evaluated and real secrets inside.

    `progress` takes the output so far; `cancelled` is set when the attempt must end (the run was cancelled or the
    timeout passed); `recovering` says that an earlier process began this very attempt and died.
    """

    run_id: str
    pipeline: str
    activity_run_id: str
    attempt: int
    definition: Activity
    type_properties: Mapping[str, Json]
    factory: Factory
    services: Services
    progress: Callable[[Json], None]
    cancelled: threading.Event
    recovering: bool = False
    inputs: Sequence[Mapping[str, Json]] = field(default_factory=tuple)
    outputs: Sequence[Mapping[str, Json]] = field(default_factory=tuple)
    linked_service: Mapping[str, Json] | None = None

    @property
    def name(self) -> str:
        """The activity's name."""
        return self.definition.name
