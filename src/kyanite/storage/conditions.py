"""Conditional requests: what must hold of a blob, folder or container before an operation touches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kyanite.errors import StorageError
from kyanite.storage.tag_query import Term

_NO_TAGS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Conditions:
    """ETags without quotes (`*` for any), times to the second; `lease_id` is what the client holds, if anything.

    `if_tags` is what the tags of a blob must meet; nothing that has no tags ever does.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_unmodified_since: datetime | None = None
    lease_id: str | None = None
    if_tags: Term | None = None

    def check(
        self,
        etag: str | None,
        modified: datetime | None,
        *,
        reading: bool = False,
        tags: Mapping[str, str] = _NO_TAGS,
    ) -> None:
        """StorageError `ConditionNotMet` (`NotModified` for reads, `BlobAlreadyExists` for create-only writes).

        `etag` is None when there is nothing.
        """
        if self is NO_CONDITIONS:
            return
        if self.if_match is not None and (etag is None or not _matches(self.if_match, etag)):
            raise condition_not_met()
        if self.if_unmodified_since is not None and modified is not None and modified > self.if_unmodified_since:
            raise condition_not_met()
        fresh = self._fresh(etag, modified)
        if fresh is False:
            if reading:
                raise StorageError("It has not changed since.", code="NotModified")
            if self.if_none_match == "*":
                raise StorageError("The specified blob already exists.", code="BlobAlreadyExists")
            raise condition_not_met()
        if self.if_tags is not None and not self.if_tags.holds(tags):
            raise condition_not_met()

    def _fresh(self, etag: str | None, modified: datetime | None) -> bool | None:
        """Whether one of the two "changed since" conditions holds; None when none was given."""
        given: list[bool] = []
        if self.if_none_match is not None:
            given.append(etag is None or not _matches(self.if_none_match, etag))
        if self.if_modified_since is not None and modified is not None:
            given.append(modified > self.if_modified_since)
        return any(given) if given else None


NO_CONDITIONS = Conditions()


def condition_not_met() -> StorageError:
    """What a failed condition is answered with."""
    return StorageError("The condition specified using HTTP conditional header(s) is not met.", code="ConditionNotMet")


def _matches(given: str, etag: str) -> bool:
    return any(one.strip().removeprefix("W/").strip('"') in ("*", etag) for one in given.split(","))
