"""What the services of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from kyanite.runtime.clock import utc_now
from kyanite.runtime.workspace import Workspace
from kyanite.server.http import Request, Response


@dataclass
class ServerContext:
    """The workspace and what surrounds the server.

    `on_run` is given the id of each run a client made, so that somebody works on it; triggers are looked at once a
    second, whoever changed them; `ports` has what is listened on: http, https, proxy.
    """

    workspace: Workspace
    clock: Callable[[], datetime] = utc_now
    on_run: Callable[[str], None] = lambda run_id: None
    ports: dict[str, int] = field(default_factory=dict)
    observers: list[Callable[[Request, Response], None]] = field(default_factory=list)

    def observe(self, request: Request, response: Response) -> None:
        """Tell those who count and log; called once for each answer."""
        for observer in self.observers:
            observer(request, response)
