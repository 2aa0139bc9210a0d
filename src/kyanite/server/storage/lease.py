"""Lease Container and Lease Blob."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from kyanite.errors import StorageError, UserError
from kyanite.server.http import Response
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.headers import read_conditions
from kyanite.storage import containers, leases
from kyanite.storage.conditions import Conditions
from kyanite.storage.leases import Lease

Step = Callable[[Lease | None], Lease | None]


@dataclass
class Outcome:
    """What the step found out, for the answer."""

    status: int
    id: str = ""
    left: int | None = None


async def blob(call: Call) -> Response:
    """Lease Blob."""
    step, outcome = _step(call)
    conditions = _conditions(call)
    found = await call.in_thread(call.store.lease, call.container, call.path, step, conditions)
    return _answer(found.etag, found.modified, outcome)


async def container(call: Call) -> Response:
    """Lease Container."""
    step, outcome = _step(call)
    conditions = _conditions(call)
    found = await call.in_thread(containers.lease, call.store, call.container, step, conditions)
    return _answer(found.etag, found.modified, outcome)


_NO_LEASE = {"x-ms-lease-state": "available", "x-ms-lease-status": "unlocked"}


def lease_headers(lease: Lease | None, now: datetime) -> Mapping[str, str]:
    """The lease of what is read."""
    if lease is None:
        return _NO_LEASE
    state = leases.state_of(lease, now)
    found = {
        "x-ms-lease-state": state,
        "x-ms-lease-status": "locked" if state in ("leased", "breaking") else "unlocked",
    }
    if state == "leased":
        found["x-ms-lease-duration"] = "infinite" if lease.seconds == -1 else "fixed"
    return found


def _conditions(call: Call) -> Conditions:
    return read_conditions(call.request.headers, lease="")


def _answer(etag: str, modified: datetime, outcome: Outcome) -> Response:
    response = changed(etag, modified, outcome.status)
    if outcome.id:
        response.headers["x-ms-lease-id"] = outcome.id
    if outcome.left is not None:
        response.headers["x-ms-lease-time"] = str(outcome.left)
    return response


def _step(call: Call) -> tuple[Step, Outcome]:
    """What the request asks for, as a step that also notes what the answer tells."""
    action = call.required("x-ms-lease-action").lower()
    now = call.now
    if action == "acquire":
        seconds = call.number("x-ms-lease-duration", required=True) or 0
        proposed = call.header("x-ms-proposed-lease-id") or None
        return _noting(lambda lease: leases.acquire(lease, seconds, proposed, now), 201)
    if action == "break":
        return _breaking(call.number("x-ms-lease-break-period"), now)
    if action not in ("renew", "change", "release"):
        raise UserError(f"x-ms-lease-action is not {action[:40]!r}.", code="InvalidHeaderValue")
    given = call.required("x-ms-lease-id")
    if action == "renew":
        return _noting(lambda lease: leases.renew(lease, given, now), 200)
    if action == "change":
        wanted = call.required("x-ms-proposed-lease-id")
        return _noting(lambda lease: leases.change(lease, given, wanted, now), 200)

    def give_up(lease: Lease | None) -> None:
        leases.release(lease, given)

    return give_up, Outcome(200)


def _noting(step: Callable[[Lease | None], Lease], status: int) -> tuple[Step, Outcome]:
    outcome = Outcome(status)

    def noted(lease: Lease | None) -> Lease:
        after = step(lease)
        outcome.id = after.id
        return after

    return noted, outcome


def _breaking(period: int | None, now: datetime) -> tuple[Step, Outcome]:
    outcome = Outcome(202)

    def broken(lease: Lease | None) -> Lease:
        after, outcome.left = leases.break_lease(lease, period, now)
        return after

    if period is not None and not 0 <= period <= 60:
        raise StorageError("A lease is broken within 0 to 60 seconds.", code="InvalidHeaderValue")
    return broken, outcome
