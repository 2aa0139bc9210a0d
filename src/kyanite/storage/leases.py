"""Leases of blobs, folders and containers: the states of the service, as pure steps from one lease to the next."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kyanite.errors import StorageError


@dataclass(frozen=True, slots=True)
class Lease:
    """`expires` is None while it is infinite; `breaks_at` is set once somebody broke it; `released` after a release."""

    id: str
    seconds: int
    expires: datetime | None
    breaks_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """leased, expired, breaking or broken."""
        if self.breaks_at is not None:
            return "breaking" if now < self.breaks_at else "broken"
        return "leased" if self.expires is None or now < self.expires else "expired"

    def is_active(self, now: datetime) -> bool:
        """Whether writes need its id."""
        return self.state(now) in ("leased", "breaking")


def state_of(lease: Lease | None, now: datetime) -> str:
    """As x-ms-lease-state says it."""
    return "available" if lease is None else lease.state(now)


def check_write(lease: Lease | None, given: str | None, now: datetime, kind: str = "Blob") -> None:
    """StorageError `LeaseIdMissing`, `LeaseIdMismatchWith...`, `LeaseNotPresentWith...` or `LeaseLost` for a write."""
    if lease is not None and lease.is_active(now):
        if given is None:
            raise _failed(
                "LeaseIdMissing", f"There is currently a lease on the {kind.lower()} and no lease ID was given."
            )
        if not same_id(given, lease.id):
            raise _mismatch(kind)
        return
    check_read(lease, given, now, kind)


def check_read(lease: Lease | None, given: str | None, now: datetime, kind: str = "Blob") -> None:
    """The same for a read, which needs no lease id but may give one."""
    if given is None:
        return
    if lease is None:
        raise _failed(f"LeaseNotPresentWith{kind}Operation", f"There is currently no lease on the {kind.lower()}.")
    if not same_id(given, lease.id):
        raise _mismatch(kind)
    if not lease.is_active(now):
        raise _failed("LeaseLost", "A lease ID was specified, but the lease has expired.")


def acquire(lease: Lease | None, seconds: int, proposed: str | None, now: datetime) -> Lease:
    """A new lease, or the same id's lease for another time. `seconds` is 15 to 60, or -1 for ever."""
    if seconds != -1 and not 15 <= seconds <= 60:
        raise _failed("InvalidHeaderValue", "A lease lasts 15 to 60 seconds, or -1 for ever.")
    state = state_of(lease, now)
    same = lease is not None and proposed is not None and same_id(proposed, lease.id)
    if state == "leased" and not same:
        raise _failed("LeaseAlreadyPresent", "There is already a lease present.")
    if state == "breaking":
        code = "LeaseIsBreakingAndCannotBeAcquired" if same else "LeaseAlreadyPresent"
        raise _failed(code, "The lease is breaking and cannot be acquired until it is broken.")
    return Lease(_checked(proposed) if proposed else str(uuid.uuid4()), seconds, _end(seconds, now))


def renew(lease: Lease | None, given: str, now: datetime) -> Lease:
    """The lease from now on for its own length."""
    held = _held(lease, given)
    state = held.state(now)
    if state in ("breaking", "broken"):
        raise _failed("LeaseIsBrokenAndCannotBeRenewed", "The lease has been broken and cannot be renewed.")
    return replace(held, expires=_end(held.seconds, now))


def change(lease: Lease | None, given: str, proposed: str, now: datetime) -> Lease:
    """The lease under another id."""
    if lease is not None and lease.state(now) == "leased" and same_id(proposed, lease.id):
        return lease
    held = _held(lease, given)
    state = held.state(now)
    if state == "breaking":
        raise _failed("LeaseIsBreakingAndCannotBeChanged", "The lease is breaking and cannot be changed.")
    if state != "leased":
        raise _failed("LeaseNotPresentWithLeaseOperation", "There is currently no lease.")
    return replace(held, id=_checked(proposed))


def release(lease: Lease | None, given: str) -> None:
    """Checks that the lease may be given up by who has this id."""
    _held(lease, given)


def break_lease(lease: Lease | None, period: int | None, now: datetime) -> tuple[Lease, int]:
    """The lease in its breaking, and the seconds until it is broken."""
    if lease is None:
        raise _failed("LeaseNotPresentWithLeaseOperation", "There is currently no lease.")
    if period is not None and not 0 <= period <= 60:
        raise _failed("InvalidHeaderValue", "A lease is broken within 0 to 60 seconds.")
    if lease.state(now) in ("broken", "expired"):
        return replace(lease, breaks_at=lease.breaks_at or now), 0
    ends = [end for end in (lease.expires, lease.breaks_at) if end is not None]
    if period is not None:
        ends.append(now + timedelta(seconds=period))
    at = min(ends, default=now)
    return replace(lease, breaks_at=at), max(0, round((at - now).total_seconds()))


def _end(seconds: int, now: datetime) -> datetime | None:
    return None if seconds == -1 else now + timedelta(seconds=seconds)


def _held(lease: Lease | None, given: str) -> Lease:
    if lease is None:
        raise _failed("LeaseNotPresentWithLeaseOperation", "There is currently no lease.")
    if not same_id(given, lease.id):
        raise _failed("LeaseIdMismatchWithLeaseOperation", "The lease ID given does not match the lease's.")
    return lease


def _checked(text: str) -> str:
    try:
        uuid.UUID(text)
    except ValueError as problem:
        raise _failed("InvalidHeaderValue", "A lease ID is a GUID.") from problem
    return text


def same_id(one: str, other: str) -> bool:
    """Whether two lease IDs are the same GUID, however written."""
    return one.strip("{}").replace("-", "").lower() == other.strip("{}").replace("-", "").lower()


def _mismatch(kind: str) -> StorageError:
    return _failed(f"LeaseIdMismatchWith{kind}Operation", f"The lease ID given does not match the {kind.lower()}'s.")


def _failed(code: str, message: str) -> StorageError:
    return StorageError(message, code=code)
