"""Application packages: zip files that an account keeps per application and version. Batch reference section 18."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kyanite.batch.codes import refusal
from kyanite.batch.documents import read_packages
from kyanite.batch.packages import variable_of
from kyanite.batch.specs import FailureInfo
from kyanite.batch.staging import StagingError
from kyanite.batch.store import Store
from kyanite.database import Row

Reference = tuple[str, str | None]


def package_file(root: Path, account: str, application: str, version: str) -> Path:
    """Where the zip file of a package is kept."""
    name = hashlib.sha256(f"{application.casefold()}\0{version.casefold()}".encode()).hexdigest()[:32]
    return root / account / ".packages" / f"{name}.zip"


def check_references(store: Store, account: str, document: Mapping[str, Any]) -> None:
    """InvalidApplicationPackageReferences for references of a pool's or task's document that lead nowhere."""
    for application, version in read_packages(document):
        problem = _problem(store, account, application, version)
        if problem is not None:
            raise refusal("InvalidApplicationPackageReferences", problem)


def _problem(store: Store, account: str, application: str, version: str | None) -> str | None:
    row = application_row(store, account, application)
    if row is None:
        return f"There is no application '{application}'."
    wanted = version or row["default_version"]
    if wanted is None:
        return f"The application '{application}' has no default version; name one."
    package = package_row(store, account, application, wanted)
    if package is None:
        return f"The application '{application}' has no version '{wanted}'."
    return None if package["state"] == "active" else f"Version '{wanted}' of '{application}' is not activated."


def application_row(store: Store, account: str, application: str) -> Row | None:
    """The row of an application."""
    rows = store.rows("application", account=account.casefold(), key=application.casefold())
    return rows[0] if rows else None


def package_rows(store: Store, account: str, application: str) -> Sequence[Row]:
    """The rows of an application's packages."""
    return store.rows("packages", account=account.casefold(), application=application.casefold())


def package_row(store: Store, account: str, application: str, version: str) -> Row | None:
    """The row of one package."""
    rows = package_rows(store, account, application)
    return next((row for row in rows if row["version_key"] == version.casefold()), None)


def resolve(
    store: Store, root: Path, account: str, documents: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, Path], ...]:
    """The (variable, zip file) pairs of what some documents refer to. StagingError ApplicationPackageError else."""
    found: dict[str, Path] = {}
    for application, version in dict.fromkeys(each for document in documents for each in read_packages(document)):
        problem = _problem(store, account, application, version)
        row = application_row(store, account, application)
        if problem is not None or row is None:
            raise StagingError(FailureInfo("UserError", "ApplicationPackageError", problem or "It is gone."))
        archive = package_file(root, account, application, version or row["default_version"])
        found[variable_of(application, version)] = archive
    return tuple(found.items())


def digest_of(archive: Path) -> tuple[int, str]:
    """Size and SHA-256 of a zip file."""
    with archive.open("rb") as file:
        return archive.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
