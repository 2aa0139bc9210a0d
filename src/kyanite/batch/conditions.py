"""The condition under which a client wants an object read or changed: its version, or the time of its last change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kyanite.batch.codes import refusal


@dataclass(frozen=True)
class Conditions:
    """At most one is set. Entity tags are without quotes; `*` stands for any version; times have a zone."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None

    def holds(self, etag: str, last_modified: datetime) -> bool:
        """Whether an object of this version, changed last at this time, is one the client means."""
        changed = last_modified.replace(microsecond=0)  # a header tells whole seconds
        return not (
            (self.if_match not in (None, "*") and self.if_match != etag)
            or (self.if_none_match is not None and self.if_none_match in ("*", etag))
            or (self.if_modified_since is not None and changed <= self.if_modified_since)
            or (self.if_unmodified_since is not None and changed > self.if_unmodified_since)
        )

    def check(self, etag: str, last_modified: datetime) -> None:
        """ConditionNotMet unless the condition holds; call it in the transaction that changes the object."""
        if not self.holds(etag, last_modified):
            raise refusal("ConditionNotMet")


NO_CONDITIONS = Conditions()
