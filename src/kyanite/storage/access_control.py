"""POSIX access control of files and folders in a hierarchical namespace: the texts the service takes and gives.

They are kept and shown, not enforced: whoever reaches this workspace with a key owns all of it.
https://learn.microsoft.com/azure/storage/blobs/data-lake-storage-access-control
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Literal

from kyanite.errors import StorageError
from kyanite.limits import ACL_ENTRIES

OWNER = "$superuser"
FOLDER_PERMISSIONS = "rwxr-x---"
FILE_PERMISSIONS = "rw-r-----"
_KINDS = ("user", "group", "mask", "other")
_RWX = re.compile(r"[r-][w-][x-]\Z")
_SYMBOLS = re.compile(r"(?:[r-][w-][x-]){2}[r-][w-][xtT-]\+?\Z")
_OCTAL = re.compile(r"[01]?[0-7]{3}\Z")
_PRINCIPAL = re.compile(r"[A-Za-z0-9$@._~-]{0,128}\Z")

Key = tuple[str, str, str]  # scope ("" or "default"), kind, principal ("" for the owner's own)
Acl = dict[Key, str]


def read_acl(text: str, *, rights: bool = True) -> Acl:
    """The entries of `[scope:]kind:principal:rwx,...`; without rights (`rights=False`) as for their removal.

    StorageError `InvalidInput` for what cannot be read.
    """
    acl: Acl = {}
    for piece in text.split(","):
        fields = piece.strip().split(":")
        scope = fields.pop(0) if fields[0] == "default" else ""
        granted = fields.pop() if rights and len(fields) == 3 else ""
        if len(fields) == 1 and not rights:
            fields.append("")
        if len(fields) != 2 or fields[0] not in _KINDS or not _PRINCIPAL.match(fields[1]):
            raise _invalid("an entry is not of the form [default:]kind:id:rwx")
        if rights and not _RWX.match(granted):
            raise _invalid("an entry's rights are not of the form rwx")
        if fields[0] in ("mask", "other") and fields[1]:
            raise _invalid("mask and other belong to nobody")
        acl[scope, fields[0], fields[1]] = granted
    if len(acl) > 2 * ACL_ENTRIES:
        raise _invalid(f"it has more than {ACL_ENTRIES} entries")
    return acl


def read_permissions(text: str) -> tuple[Acl, bool]:
    """`rwxr-x---` or `0750` as the three base entries, and whether the sticky bit is set."""
    if _OCTAL.match(text):
        digits = text.zfill(4)
        sticky = digits[0] == "1"
        triples = [_triple(int(digit)) for digit in digits[1:]]
    elif _SYMBOLS.match(text):
        sticky = text[8] in "tT"
        plain = text[:8] + {"t": "x", "T": "-"}.get(text[8], text[8])
        triples = [plain[:3], plain[3:6], plain[6:9]]
    else:
        raise _invalid("permissions are neither like rwxr-x--- nor like 0750")
    return {("", kind, ""): triple for kind, triple in zip(("user", "group", "other"), triples, strict=True)}, sticky


def acl_of(access: Mapping[str, str], *, is_folder: bool) -> Acl:
    """The entries kept with a file or folder, or those it has from the beginning."""
    if access.get("acl"):
        return read_acl(access["acl"])
    return read_permissions(access.get("permissions") or (FOLDER_PERMISSIONS if is_folder else FILE_PERMISSIONS))[0]


def shown(access: Mapping[str, str], *, is_folder: bool) -> dict[str, str]:
    """Owner, group, permissions and acl as the service tells them."""
    return dict(_untouched(is_folder)) if not access else _shown(access, is_folder)


@functools.cache
def _untouched(is_folder: bool) -> dict[str, str]:
    return _shown({}, is_folder)


def _shown(access: Mapping[str, str], is_folder: bool) -> dict[str, str]:
    acl = acl_of(access, is_folder=is_folder)
    return {
        "owner": access.get("owner") or OWNER,
        "group": access.get("group") or OWNER,
        "permissions": symbols(acl, sticky=access.get("sticky") == "1"),
        "acl": acl_text(acl),
    }


def symbols(acl: Acl, *, sticky: bool = False) -> str:
    """`rwxr-x---`; with a `+` when there are entries that this cannot show, `t` for the sticky bit."""
    group = acl.get(("", "mask", "")) or acl.get(("", "group", ""), "---")
    other = acl.get(("", "other", ""), "---")
    if sticky:
        other = other[:2] + ("t" if other[2] == "x" else "T")
    extended = any(scope or principal for scope, _, principal in acl)
    return acl.get(("", "user", ""), "---") + group + other + ("+" if extended else "")


def acl_text(acl: Acl) -> str:
    """The entries as one text, the item's own before the defaults, owners before named ones."""
    ordered = sorted(acl, key=lambda key: (key[0], _KINDS.index(key[1]), key[2]))
    return ",".join(":".join((*([key[0]] if key[0] else []), key[1], key[2], acl[key])) for key in ordered)


def with_permissions(access: Mapping[str, str], text: str, *, is_folder: bool) -> dict[str, str]:
    """The access after permissions were set: named entries stay, the group's part goes to the mask if there is one."""
    base, sticky = read_permissions(text)
    acl = acl_of(access, is_folder=is_folder)
    if ("", "mask", "") in acl:
        acl["", "mask", ""] = base.pop(("", "group", ""))
    acl.update(base)
    return {**access, "acl": acl_text(acl), "sticky": "1" if sticky else ""}


def with_acl(
    access: Mapping[str, str], changes: Acl, mode: Literal["set", "modify", "remove"], *, is_folder: bool
) -> dict[str, str]:
    """The access after entries were set, merged or removed; a file never has default entries."""
    changes = {key: value for key, value in changes.items() if is_folder or not key[0]}
    acl = acl_of(access, is_folder=is_folder)
    if mode == "remove":
        acl = {key: value for key, value in acl.items() if key not in changes or _is_base(key)}
    elif mode == "modify":
        acl.update(changes)
    else:
        missing = [kind for kind in ("user", "group", "other") if ("", kind, "") not in changes]
        if missing:
            raise _invalid(f"the entry of {missing[0]} itself is missing")
        acl = dict(changes)
    return {**access, "acl": acl_text(_masked(acl))}


def inherited(parent: Mapping[str, str], *, is_folder: bool) -> dict[str, str]:
    """What a new child gets from its folder's default entries; {} when there are none."""
    defaults = {key: value for key, value in acl_of(parent, is_folder=True).items() if key[0]}
    if not defaults:
        return {}
    acl: Acl = {("", kind, principal): value for (_, kind, principal), value in defaults.items()}
    return {"acl": acl_text({**acl, **defaults} if is_folder else acl)}


def permitted(permissions: str, umask: str, *, is_folder: bool) -> dict[str, str]:
    """The access of a new file or folder for x-ms-permissions and x-ms-umask; {} when neither was given."""
    if not permissions and not umask:
        return {}
    base, sticky = read_permissions(permissions or "0777")
    hidden, _ = read_permissions(umask or ("0000" if permissions else "0027"))
    acl = {
        key: "".join("-" if hide != "-" else own for own, hide in zip(value, hidden[key], strict=True))
        for key, value in base.items()
    }
    if not is_folder and not permissions:
        acl = {key: value.replace("x", "-") for key, value in acl.items()}
    return {"acl": acl_text(acl), "sticky": "1" if sticky else ""}


def _masked(acl: Acl) -> Acl:
    """Named entries need a mask: when none was given it allows what all of them together allow."""
    for scope in ("", "default"):
        named = [key for key in acl if key[0] == scope and key[2]]
        if named and (scope, "mask", "") not in acl:
            group = [acl.get((scope, "group", ""), "---"), *(acl[key] for key in named)]
            acl[scope, "mask", ""] = "".join(max(rights[place] for rights in group) for place in range(3))
    return acl


def _is_base(key: Key) -> bool:
    return not key[0] and not key[2] and key[1] != "mask"


def _triple(digit: int) -> str:
    return ("r" if digit & 4 else "-") + ("w" if digit & 2 else "-") + ("x" if digit & 1 else "-")


def _invalid(reason: str) -> StorageError:
    return StorageError(f"The access control list or permissions cannot be read: {reason}.", code="InvalidInput")
