"""A factory's folder as the place it is written to: only what changed, in the file's own style, secrets sealed.

The folder is one of the workspace or a git folder of a person that the workspace is linked to. In both a secret is
never written: its place holds the vault's marker, which means nothing outside of this workspace.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kyanite.definitions.load import load_folder
from kyanite.definitions.model import Factory, make_resource
from kyanite.definitions.save import folder_files
from kyanite.errors import ConflictError, NotFoundError, StateError
from kyanite.runtime.workspace import Workspace, read_folder
from kyanite.secrets import Vault

Json = Any
DEFAULT_INDENT = "  "
_INDENT = re.compile(r"\{\r?\n([ \t]+)\"")


@contextmanager
def factories_to_itself(workspace: Workspace) -> Iterator[Path]:
    """The folder of the workspace's factories, for one writer at a time, in this process or another."""
    root = workspace.home / "factories"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield root
    finally:
        os.close(handle)


def write_changes(folder: Path, vault: Vault, old: Factory, new: Factory) -> list[str]:
    """Make the folder of `old` hold `new`; the relative paths that were written or deleted.

    A document that says the same is not touched; one that differs keeps the order of the members it had, the file's
    indentation and whether it ends with a line break. Each file is replaced at once.
    """
    before, after = folder_files(old), folder_files(new)
    changed = [path for path, document in after.items() if before.get(path) != document]
    gone = [path for path in before if path not in after]
    for path in changed:
        write_document(folder / path, vault, after[path], before.get(path))
    for path in gone:
        (folder / path).unlink(missing_ok=True)
        _sync((folder / path).parent)
    return sorted([*changed, *gone])


def write_document(file: Path, vault: Vault, document: Mapping[str, Json], old: Mapping[str, Json] | None) -> None:
    """Write one document beside its place and put it there."""
    indent, end = _style_of(file)
    ordered = in_order_of(document, old)
    sealed = json.loads(vault.seal_json(ordered))
    text = json.dumps(sealed, indent=indent, ensure_ascii=False) + end
    beside = file.with_name(f".{file.stem[:80]}.json.{os.getpid()}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _sweep(file.parent)
        with beside.open("w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        beside.replace(file)
        _sync(file.parent)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StateError(
            f"A file of the factory cannot be written: {error.strerror}.",
            where=str(file),
            cure="Make the folder writable and free some space; nothing was half written.",
        ) from error


def in_order_of(new: Json, old: Json) -> Json:
    """The new value with the members of objects in the order that the old value has; new ones come last."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        names = [name for name in old if name in new] + [name for name in new if name not in old]
        return {name: in_order_of(new[name], old.get(name)) for name in names}
    if isinstance(new, list) and isinstance(old, list):
        by_name = {item["name"]: item for item in old if _is_named(item)}
        return [
            in_order_of(item, by_name.get(item["name"]) if _is_named(item) else _at(old, index))
            for index, item in enumerate(new)
        ]
    return new


def read_factory(vault: Vault, folder: Path, name: str | None) -> Factory:
    """The factory of a folder with its real values; problems met while reading are kept in it."""
    texts = read_folder(folder)
    opened = {
        path: json.dumps(vault.open_json(text)) if "~secret:" in text and _is_json(text) else text
        for path, text in texts.items()
    }
    return load_folder(opened, name)


def link_factory(workspace: Workspace, folder: Path, name: str | None = None) -> str:
    """Make a git folder the place where the workspace has a factory; its name.

    What is saved there is live at once, and what the API changes is written there. Raises ConflictError when the
    workspace has another factory of that name that is not equal, NotFoundError without a folder.
    """
    if not folder.is_dir():
        raise NotFoundError("There is no such folder.", where=str(folder))
    target = folder.resolve()
    factory = read_factory(workspace.vault, target, name)
    known = {each.casefold(): each for each in workspace.factories()}
    existing = known.get(factory.name.casefold())
    with factories_to_itself(workspace) as root:
        link = root / (existing or factory.name)
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            _refuse_unequal(workspace, link.name, factory)
            aside = root / f".{link.name}.before-link"
            _remove(aside)
            link.rename(aside)
            link.symlink_to(target, target_is_directory=True)
            _remove(aside)
            return link.name
        link.symlink_to(target, target_is_directory=True)
    return link.name


def save_linked(workspace: Workspace, link: Path, factory: Factory) -> None:
    """Make the git folder behind a link hold a factory: only files that differ are written."""
    with factories_to_itself(workspace):
        folder = link.resolve()
        old = read_factory(workspace.vault, folder, link.name)
        by_key = {(each.kind, each.name.casefold()): each for each in old.resources}
        kept = []
        for each in factory.resources:
            known = by_key.get((each.kind, each.name.casefold()))
            kept.append(make_resource(each.kind, each.name, each.document, known.file) if known else each)
        write_changes(folder, workspace.vault, old, replace(factory, resources=tuple(kept), file=old.file))


def linked_folder(workspace: Workspace, name: str) -> Path | None:
    """The git folder a factory of the workspace is linked to, or None when the workspace itself holds it."""
    place = workspace.home / "factories" / name
    return place.resolve() if place.is_symlink() else None


def _refuse_unequal(workspace: Workspace, name: str, factory: Factory) -> None:
    if workspace.factory(name) != factory:
        raise ConflictError(
            f"The workspace has a factory '{name}' already, and it differs from the folder.",
            cure="`kyanite diff DIR` shows the differences, `kyanite publish DIR` makes it equal to the folder.",
        )


def _style_of(file: Path) -> tuple[str, str]:
    """Indentation and end of a file; those of a neighbour for a new one."""
    candidates = [file] if file.is_file() else sorted(file.parent.glob("*.json"))[:1]
    for candidate in candidates:
        text = candidate.read_text(encoding="utf-8-sig", errors="replace")
        found = _INDENT.search(text)
        if found:
            return found[1], "\n" if text.endswith("\n") else ""
    return DEFAULT_INDENT, "\n"


def _sweep(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote."""
    for left in folder.glob(".*.json.*.new"):
        number = left.name.split(".")[-2]
        if number.isdecimal() and int(number) != os.getpid() and not _is_alive(int(number)):
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_named(item: Json) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str)


def _at(items: list[Json], index: int) -> Json:
    return items[index] if index < len(items) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    import shutil

    if path.exists():
        shutil.rmtree(path)
