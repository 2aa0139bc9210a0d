"""The verbs on applications and their packages."""

from __future__ import annotations

import shutil
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from kyanite import limits
from kyanite.batch import applications
from kyanite.batch.codes import refusal, wrong_value
from kyanite.batch.model import check_identifier, etag
from kyanite.batch.reading import Document, text, truth
from kyanite.batch.service_base import ServiceBase
from kyanite.batch.store import read_time, time_text
from kyanite.database import Row


@dataclass(frozen=True)
class Package:
    """A version of an application; `file` is where its zip file is (to be) written, `state` pending or active."""

    application: str
    version: str
    state: str
    file: Path
    size: int | None
    format: str | None
    created_at: datetime
    activated_at: datetime | None


class ApplicationService(ServiceBase):
    """The verbs on applications and their packages."""

    def list_applications(self, account: str, after: str | None = None) -> list[dict[str, Any]]:
        """The data plane's view: id, displayName, versions."""
        name = self._name(account)
        rows = self._store.rows("applications", account=name.casefold(), after=(after or "").casefold())
        return [self._application(name, row) for row in rows]

    def get_application(self, account: str, application: str) -> dict[str, Any]:
        """One of them; ApplicationNotFound."""
        name = self._name(account)
        return self._application(name, self._row(name, application))

    def _application(self, account: str, row: Row) -> dict[str, Any]:
        """With ARM's own members beside the data plane's."""
        packages = applications.package_rows(self._store, account, row["id"])
        body = {
            "id": row["id"],
            "displayName": row["display_name"],
            "versions": [package["version"] for package in packages if package["state"] == "active"],
            "defaultVersion": row["default_version"],
            "allowUpdates": bool(row["allow_updates"]),
        }
        return {name: value for name, value in body.items() if value is not None}

    def application_settings(self, account: str, application: str) -> dict[str, Any]:
        """ARM's view: displayName, defaultVersion, allowUpdates, etag."""
        row = self._row(self._name(account), application)
        body = {
            "displayName": row["display_name"],
            "defaultVersion": row["default_version"],
            "allowUpdates": bool(row["allow_updates"]),
            "etag": etag(row["version"], datetime.fromisoformat(row["modified_at"])),
        }
        return {name: value for name, value in body.items() if value is not None}

    def add_application(self, account: str, application: str, document: Document | None = None) -> dict[str, Any]:
        """Make an application, or replace its displayName, allowUpdates and defaultVersion."""
        name = self._name(account)
        check_identifier("application", application)
        body = document or {}
        with self._begin():
            existing = applications.application_row(self._store, name, application)
            count = len(self._store.rows("applications", account=name.casefold(), after=""))
            if existing is None and count >= limits.APPLICATIONS_PER_ACCOUNT:
                most = limits.APPLICATIONS_PER_ACCOUNT
                raise refusal("OperationInvalidForCurrentState", f"An account can have {most} applications.")
            version = text(body, "defaultVersion")
            if version is not None and applications.package_row(self._store, name, application, version) is None:
                raise wrong_value("defaultVersion", version, "The application has no such version.")
            self._store.change(
                "put_application",
                account=name.casefold(),
                key=application.casefold(),
                id=existing["id"] if existing else application,
                display_name=text(body, "displayName"),
                default_version=version,
                allow_updates=int(truth(body, "allowUpdates", True)),
                at=time_text(self._clock()),
            )
        return self.application_settings(account, application)

    def update_application(self, account: str, application: str, document: Document) -> dict[str, Any]:
        """Replace the settings that are given."""
        kept = self.application_settings(account, application)
        given = {name: value for name, value in document.items() if value is not None}
        return self.add_application(account, application, {**kept, **given})

    def delete_application(self, account: str, application: str) -> None:
        """Remove an application without packages."""
        name = self._name(account)
        with self._begin():
            row = self._row(name, application)
            if applications.package_rows(self._store, name, application):
                raise refusal("OperationInvalidForCurrentState", "The application still has packages.")
            self._store.change("drop_application", account=name.casefold(), key=row["key"])

    def add_package(self, account: str, application: str, version: str) -> Package:
        """Begin a version: write its zip file to `file`, then activate it."""
        name = self._name(account)
        if not version or len(version) > 64 or any(not (char.isalnum() or char in "._-") for char in version):
            raise wrong_value("version", version, "Use at most 64 letters, digits, dots, hyphens and underscores.")
        with self._begin():
            row = self._row(name, application)
            packages = applications.package_rows(self._store, name, application)
            existing = applications.package_row(self._store, name, application, version)
            if existing is not None and existing["state"] == "active" and not row["allow_updates"]:
                raise refusal("OperationInvalidForCurrentState", "The application does not allow updates.")
            if existing is None and len(packages) >= limits.PACKAGES_PER_APPLICATION:
                most = limits.PACKAGES_PER_APPLICATION
                raise refusal("OperationInvalidForCurrentState", f"An application can have {most} packages.")
            self._store.change("put_package", version=version, at=time_text(self._clock()), **_key(name, row, version))
        found = self.get_package(account, application, version)
        found.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return found

    def activate_package(
        self, account: str, application: str, version: str, source: BinaryIO | None = None, format: str = "zip"
    ) -> Package:
        """Make a zip file usable: `source` is copied to its place (None: it was written to `Package.file`).

        InvalidPropertyValue when there is none or it is no zip file.
        """
        name = self._name(account)
        found = self.get_package(account, application, version)
        if source is not None:
            found.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            beside = found.file.with_suffix(f".{uuid.uuid4().hex}")
            try:
                with beside.open("xb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                beside.replace(found.file)
            finally:
                beside.unlink(missing_ok=True)
        if format.lower() != "zip":
            raise wrong_value("format", format, "It must be zip.")
        if not found.file.is_file() or not zipfile.is_zipfile(found.file):
            raise wrong_value("version", version, "No zip file was uploaded for it.")
        size, digest = applications.digest_of(found.file)
        if size > limits.PACKAGE_BYTES:
            raise wrong_value("version", version, f"The file has more than {limits.PACKAGE_BYTES:,} bytes.")
        with self._begin():
            row = self._row(name, application)
            at = time_text(self._clock())
            self._store.change(
                "activate_package", format="zip", size=size, digest=digest, at=at, **_key(name, row, version)
            )
        return self.get_package(account, application, version)

    def get_package(self, account: str, application: str, version: str) -> Package:
        """A version; ApplicationNotFound, or ResourceNotFound when the application has no such version."""
        found = [
            item for item in self.list_packages(account, application) if item.version.casefold() == version.casefold()
        ]
        if not found:
            raise refusal("ResourceNotFound", f"The application has no version '{version}'.")
        return found[0]

    def list_packages(self, account: str, application: str) -> list[Package]:
        """The versions of an application."""
        name = self._name(account)
        row = self._row(name, application)
        packages = applications.package_rows(self._store, name, application)
        return [self._package(name, row["id"], dict(package)) for package in packages]

    def _package(self, account: str, application: str, row: Mapping[str, Any]) -> Package:
        return Package(
            application,
            row["version"],
            row["state"],
            applications.package_file(self._root, account, application, row["version"]),
            row["size"],
            row["format"],
            datetime.fromisoformat(row["created_at"]),
            read_time(row["activated_at"]),
        )

    def delete_package(self, account: str, application: str, version: str) -> None:
        """Remove a version that is not the default one."""
        name = self._name(account)
        found = self.get_package(account, application, version)
        with self._begin():
            row = self._row(name, application)
            if (row["default_version"] or "").casefold() == version.casefold():
                raise refusal("OperationInvalidForCurrentState", "It is the application's default version.")
            self._store.change("drop_package", **_key(name, row, version))
        found.file.unlink(missing_ok=True)

    def _row(self, account: str, application: str) -> Row:
        row = applications.application_row(self._store, account, application)
        if row is None:
            raise refusal("ApplicationNotFound", where=f"application {application}")
        return row


def _key(account: str, row: Row, version: str) -> dict[str, str]:
    return {"account": account.casefold(), "application": row["key"], "version_key": version.casefold()}
