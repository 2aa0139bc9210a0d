"""A workspace: the folder that holds one team's accounts, factories and runs."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kyanite.definitions.load import load_folder
from kyanite.definitions.model import Factory
from kyanite.definitions.save import folder_files
from kyanite.errors import ConflictError, DefinitionError, NotFoundError
from kyanite.limits import DOCUMENT_BYTES
from kyanite.secrets import Vault
from kyanite.storage import StorageAccounts
from kyanite.storage.file_set import exchange

if TYPE_CHECKING:
    from kyanite.batch.model import Pool
    from kyanite.batch.service import BatchService
    from kyanite.database import Database
    from kyanite.runs.sqlite import SqliteRunStore

HOME_VARIABLE = "KYANITE_HOME"
DEFAULT_HOME = ".kyanite"

# what a workspace whose making was interrupted may hold
_OWN_ENTRIES = {
    ".gitignore",
    "batch",
    "factories",
    "kyanite.db-shm",
    "kyanite.db-wal",
    "secrets.json",
    "secrets.lock",
    "storage",
}


def home_path(home: str | Path | None = None) -> Path:
    """The workspace folder meant: the argument, else KYANITE_HOME, else `./.kyanite`; absolute."""
    return Path(home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().resolve()


def open_workspace(home: str | Path | None = None, *, create: bool = False) -> Workspace:
    """Open the workspace at `home` (see `home_path`); NotFoundError unless it exists or `create` is set."""
    path = home_path(home)
    if not (path / "kyanite.db").exists():
        if not create:
            raise NotFoundError(
                "There is no workspace here.",
                where=str(path),
                cure="Make one with `kyanite init`, or name one with --home.",
            )
        _make_home(path)
    return Workspace(path)


def _make_home(path: Path) -> None:
    """A folder of the workspace's own, readable by its owner alone; a folder with other things in it is refused."""
    if path.is_dir() and {entry.name for entry in path.iterdir()} - _OWN_ENTRIES:
        raise ConflictError(
            "The folder is not empty and is no workspace.", where=str(path), cure="Name a new or empty folder."
        )
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    (path / ".gitignore").write_text("*\n", encoding="ascii")


class Workspace:
    """An open workspace. Its parts are opened when they are first used; use it as a context manager or close it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.vault = Vault(home / "secrets.json")
        self.task_environment: Callable[[Pool], Mapping[str, str]] | None = None  # what pools' tasks are told besides
        self._open_parts: list[Database] = []
        _ = self.database  # a workspace that cannot keep state is refused at once

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop scheduling tasks in this process (they go on), then close the database."""
        if "batch" in self.__dict__:
            self.batch.close()
        for part in self._open_parts:
            part.close()
        self._open_parts.clear()

    @cached_property
    def database(self) -> Database:
        """The one database of runs and Batch state."""
        from kyanite.database import Database

        database = Database(self.home / "kyanite.db")
        self._open_parts.append(database)
        return database

    @cached_property
    def store(self) -> SqliteRunStore:
        """The runs."""
        from kyanite.runs.sqlite import SqliteRunStore

        return SqliteRunStore(self.database, self.vault)

    @cached_property
    def reading(self) -> SqliteRunStore:
        """The runs, to be read on a connection of its own: a reader never waits for another thread's commit."""
        return self._reader()

    @cached_property
    def glancing(self) -> SqliteRunStore:
        """As `reading`, for look-ups of single runs that must not wait for a list either."""
        return self._reader()

    def _reader(self) -> SqliteRunStore:
        from kyanite.database import Database
        from kyanite.runs.sqlite import SqliteRunStore

        database = Database(self.home / "kyanite.db")
        self._open_parts.append(database)
        return SqliteRunStore(database, self.vault)

    @cached_property
    def accounts(self) -> StorageAccounts:
        """The storage accounts."""
        return StorageAccounts(self.home / "storage", self.vault)

    @cached_property
    def batch(self) -> BatchService:
        """The Batch accounts."""
        from kyanite.batch.service import BatchService

        return BatchService(
            self.database,
            self.home / "batch",
            self.vault,
            self.accounts,
            home=self.home,
            task_environment=lambda pool: {} if self.task_environment is None else self.task_environment(pool),
        )

    # ---- factories

    def factories(self) -> list[str]:
        """The names of the deployed factories."""
        root = self.home / "factories"
        if not root.is_dir():
            return []
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))

    def factory(self, name_or_folder: str | Path | None = None) -> Factory:
        """A deployed factory by name (in any case), a git folder by path; the only deployed one when None.

        Values are real: sealed secrets are opened. Problems met while reading are kept in `Factory.problems`.
        """
        deployed = {name.casefold(): name for name in self.factories()}
        if name_or_folder is None:
            if len(deployed) != 1:
                known = ", ".join(deployed.values()) or "none"
                raise NotFoundError(
                    f"The workspace has {len(deployed)} factories ({known}).",
                    where=str(self.home),
                    cure="Name one with --factory NAME, or a git folder with --factory DIR.",
                )
            name_or_folder = next(iter(deployed))
        name = deployed.get(str(name_or_folder).casefold())
        if name is not None:
            return self._load(self.home / "factories" / name, name)
        if Path(name_or_folder).is_dir():
            return self._load(Path(name_or_folder), None)
        known = ", ".join(deployed.values()) or "none"
        raise NotFoundError(
            f"There is no factory and no folder '{name_or_folder}'.", cure=f"Deployed factories: {known}."
        )

    def save_factory(self, factory: Factory) -> None:
        """Keep a factory under its name, secrets sealed; replaces an older one of that name as a whole and at once.

        One that is linked to a git folder is written there, file by file. Raises DefinitionError for a name that cannot
        be a folder's.
        """
        _refuse_as_folder(factory.name)
        root = self.home / "factories"
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        target, beside = root / factory.name, root / f".new-{factory.name}"
        if target.is_symlink():
            from kyanite.runtime.factory_folder import save_linked

            return save_linked(self, target, factory)
        with _folder_to_itself(root) as handle:
            _remove_tree(beside)
            for path, document in folder_files(factory).items():
                file = beside / path
                file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                sealed = json.loads(self.vault.seal_json(document))
                file.write_text(json.dumps(sealed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            if target.exists():
                exchange(handle, beside.name, handle, target.name)
                _remove_tree(beside)
            else:
                beside.rename(target)
        return None

    def _load(self, folder: Path, name: str | None) -> Factory:
        return load_folder({path: self._opened(text) for path, text in read_folder(folder).items()}, name)

    def _opened(self, text: str) -> str:
        return json.dumps(self.vault.open_json(text)) if "~secret:" in text else text


def read_folder(folder: Path) -> Mapping[str, str]:
    """The JSON files of a git folder as relative path -> text; hidden folders are left out."""
    texts: dict[str, str] = {}
    for file in sorted(folder.rglob("*.json")):
        relative = file.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or not file.is_file():
            continue
        if file.stat().st_size > DOCUMENT_BYTES:
            raise DefinitionError(f"The file is larger than {DOCUMENT_BYTES:,} bytes.", where=str(relative))
        try:
            texts[relative.as_posix()] = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DefinitionError(
                f"The file is not UTF-8 (byte {error.start}).", where=str(relative), cure="Save it as UTF-8."
            ) from error
    return texts


def _refuse_as_folder(name: str) -> None:
    """A template or a file from the web names the factory: it must stay one step below the workspace."""
    if not name or name.startswith(".") or any(char in "/\\" or not char.isprintable() for char in name):
        raise DefinitionError(
            f"{name!r} cannot be the name of a factory here.",
            cure="Use letters, digits and single dashes (git folder: --factory-name NAME).",
        )


@contextmanager
def _folder_to_itself(folder: Path) -> Iterator[int]:
    """A handle of the folder, for one process at a time."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _remove_tree(path: Path) -> None:
    import shutil

    if path.exists():
        shutil.rmtree(path)
