"""Resources on the wire: their envelope, secrets hidden on the way out and put back on the way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kyanite.server.management.arm import ArmError

Json = Any
ASTERISKS = "**********"  # what Data Factory shows of a SecureString


def hide(document: Json, mask: Callable[[Json], Json]) -> Json:
    """A document as a client may see it: SecureStrings as asterisks, other secrets masked by the vault."""
    return mask(_hide_secure(document))


def put_back(new: Json, old: Json, shown: Json) -> Json:
    """The new document with every secret kept that came back hidden; `shown` is how `old` was shown.

    A SecureString without a value, or with asterisks, keeps the old value; so does any text that equals what was shown
    instead of the real one. ArmError when there is no old value.
    """
    if isinstance(new, Mapping):
        if new.get("type") == "SecureString" and _is_hidden(new):
            return _secure(new, old)
        return {name: put_back(item, _member(old, name), _member(shown, name)) for name, item in new.items()}
    if isinstance(new, list):
        return [put_back(item, *_twin(item, index, old, shown)) for index, item in enumerate(new)]
    if isinstance(new, str) and new == shown and isinstance(old, str):
        return old
    return new


def _hide_secure(value: Json) -> Json:
    if isinstance(value, Mapping):
        if value.get("type") == "SecureString" and any(isinstance(value.get(m), str) for m in _VALUE_MEMBERS):
            return {name: ASTERISKS if name in _VALUE_MEMBERS and item else item for name, item in value.items()}
        if str(value.get("type", "")).lower() == "securestring" and "defaultValue" in value:
            return {**value, "defaultValue": ASTERISKS}
        return {name: _hide_secure(item) for name, item in value.items()}
    return [_hide_secure(item) for item in value] if isinstance(value, list) else value


_VALUE_MEMBERS = ("value", "defaultValue")


def _is_hidden(new: Mapping[str, Json]) -> bool:
    if "defaultValue" in new:
        return _is_mask(new["defaultValue"])
    if "value" not in new and set(new) - {"type"}:
        return False  # a declared parameter without a default, or something of another make
    return new.get("value") in (None, "") or _is_mask(new["value"])


def _is_mask(value: Json) -> bool:
    return isinstance(value, str) and len(value) >= 3 and set(value) == {"*"}


def _secure(new: Mapping[str, Json], old: Json) -> Json:
    member = "defaultValue" if "defaultValue" in new else "value"
    if isinstance(old, Mapping) and isinstance(old.get(member), str):
        return {**new, member: old[member]}
    if set(new) == {"type"}:
        return dict(new)  # as a parameter that is declared without a default
    if not _is_mask(new.get(member)):
        return dict(new)
    raise ArmError(
        "A SecureString came with asterisks, but there is no value yet that they could stand for.",
        code="BadRequest",
        status=400,
    )


def _member(value: Json, name: str) -> Json:
    return value.get(name) if isinstance(value, Mapping) else None


def _twin(item: Json, index: int, old: Json, shown: Json) -> tuple[Json, Json]:
    """The item of the old list that stands for an item: of the same name, else at the same place."""
    if not isinstance(old, list) or not isinstance(shown, list) or len(old) != len(shown):
        return None, None
    name = item.get("name") if isinstance(item, Mapping) else None
    if isinstance(name, str):
        for one, other in zip(old, shown, strict=True):
            if isinstance(one, Mapping) and one.get("name") == name:
                return one, other
        return None, None
    return (old[index], shown[index]) if index < len(old) else (None, None)
