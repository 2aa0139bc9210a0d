"""Microsoft's own clients, ready-made for a workspace that `kyanite serve` serves.

    from kyanite.sdk import data_factory_client

    client = data_factory_client()
    client.pipelines.create_run("kyanite", "airline", "Daily")

Each function takes the workspace (`home`, else KYANITE_HOME, else `./.kyanite`) and passes what else is given on to
the client. They need the packages of `pip install "kyanite[sdk]"`.
"""

from __future__ import annotations

import socket
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kyanite.errors import NotFoundError, StateError, UserError
from kyanite.runtime.workspace import home_path, open_workspace
from kyanite.server.serving import Addresses, read_addresses

if TYPE_CHECKING:
    from azure.batch import BatchClient
    from azure.core.credentials import AccessToken, AccessTokenInfo
    from azure.mgmt.batch import BatchManagementClient
    from azure.mgmt.datafactory import DataFactoryManagementClient
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient
    from azure.mgmt.resource.resources import ResourceManagementClient
    from azure.mgmt.storage import StorageManagementClient
    from azure.storage.blob import BlobServiceClient
    from azure.storage.filedatalake import DataLakeServiceClient

__all__ = [
    "SUBSCRIPTION",
    "Credential",
    "batch_client",
    "batch_management_client",
    "blob_service_client",
    "credential",
    "data_factory_client",
    "data_lake_service_client",
    "deployments_client",
    "resource_client",
    "storage_management_client",
]

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
"""The subscription the clients name; a workspace answers under any."""

_TOKEN_SECONDS = 3600  # the key itself does not expire: clients read its file again after this
_CONNECT_SECONDS = 5.0
_PACKAGES = {
    "azure.batch": "azure-batch",
    "azure.core.credentials": "azure-core",
    "azure.mgmt.batch": "azure-mgmt-batch",
    "azure.mgmt.datafactory": "azure-mgmt-datafactory",
    "azure.mgmt.resource.deployments": "azure-mgmt-resource-deployments",
    "azure.mgmt.resource.resources": "azure-mgmt-resource",
    "azure.mgmt.storage": "azure-mgmt-storage",
    "azure.storage.blob": "azure-storage-blob",
    "azure.storage.filedatalake": "azure-storage-file-datalake",
}


class Credential:
    """The owner's key of a workspace as a credential for Azure's clients; it is read when a client asks for it."""

    def __init__(self, token_file: Path) -> None:
        self._token_file = token_file

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """For clients that take an `AccessToken`."""
        token: AccessToken = _needed("azure.core.credentials", "AccessToken")(self._key(), _until())
        return token

    def get_token_info(self, *_scopes: str, **_options: Any) -> AccessTokenInfo:
        """For clients that take an `AccessTokenInfo`."""
        token: AccessTokenInfo = _needed("azure.core.credentials", "AccessTokenInfo")(self._key(), _until())
        return token

    def close(self) -> None:
        """Nothing is held open."""

    def __enter__(self) -> Credential:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Credential({str(self._token_file)!r})"

    def _key(self) -> str:
        try:
            return self._token_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            raise NotFoundError(
                "The workspace has no key of its owner.", where=str(self._token_file), cure="Start `kyanite serve`."
            ) from None


def credential(home: str | Path | None = None) -> Credential:
    """The owner's credential of the workspace whose server runs; StateError when none does."""
    return Credential(Path(_server(home).token_file))


def data_factory_client(
    home: str | Path | None = None, *, subscription: str = SUBSCRIPTION, **options: Any
) -> DataFactoryManagementClient:
    """azure-mgmt-datafactory: factories, their documents, runs and triggers. Write dicts, or take version 9."""
    kind = _needed("azure.mgmt.datafactory", "DataFactoryManagementClient")
    client: DataFactoryManagementClient = _management(kind, home, subscription, options)
    return client


def batch_management_client(
    home: str | Path | None = None, *, subscription: str = SUBSCRIPTION, **options: Any
) -> BatchManagementClient:
    """azure-mgmt-batch: Batch accounts, pools and applications."""
    kind = _needed("azure.mgmt.batch", "BatchManagementClient")
    client: BatchManagementClient = _management(kind, home, subscription, options)
    return client


def resource_client(
    home: str | Path | None = None, *, subscription: str = SUBSCRIPTION, **options: Any
) -> ResourceManagementClient:
    """azure-mgmt-resource: resource groups and what they hold."""
    kind = _needed("azure.mgmt.resource.resources", "ResourceManagementClient")
    client: ResourceManagementClient = _management(kind, home, subscription, options)
    return client


def deployments_client(
    home: str | Path | None = None, *, subscription: str = SUBSCRIPTION, **options: Any
) -> DeploymentsMgmtClient:
    """azure-mgmt-resource-deployments: ARM templates, deployed or only told what they would change."""
    kind = _needed("azure.mgmt.resource.deployments", "DeploymentsMgmtClient")
    client: DeploymentsMgmtClient = _management(kind, home, subscription, options)
    return client


def storage_management_client(
    home: str | Path | None = None, *, subscription: str = SUBSCRIPTION, **options: Any
) -> StorageManagementClient:
    """azure-mgmt-storage: storage accounts, their keys and containers."""
    kind = _needed("azure.mgmt.storage", "StorageManagementClient")
    client: StorageManagementClient = _management(kind, home, subscription, options)
    return client


def batch_client(account: str | None = None, home: str | Path | None = None, **options: Any) -> BatchClient:
    """azure-batch (15 or later): pools, jobs and tasks of a Batch account; it may go unnamed when there is one."""
    kind = _needed("azure.batch", "BatchClient")
    server = _server(home)
    name = account or _only("Batch account", _batch_accounts(home))
    client: BatchClient = kind(f"{server.https}/batch/{name}", credential(home), **_trusting(server), **options)
    return client


def blob_service_client(
    account: str | None = None, home: str | Path | None = None, **options: Any
) -> BlobServiceClient:
    """azure-storage-blob: containers and blobs of a storage account; it may go unnamed when there is one."""
    client: BlobServiceClient = _storage("azure.storage.blob", "BlobServiceClient", account, home, options)
    return client


def data_lake_service_client(
    account: str | None = None, home: str | Path | None = None, **options: Any
) -> DataLakeServiceClient:
    """azure-storage-file-datalake: file systems of a storage account; it may go unnamed when there is one."""
    client: DataLakeServiceClient = _storage(
        "azure.storage.filedatalake", "DataLakeServiceClient", account, home, options
    )
    return client


def _management(kind: Any, home: str | Path | None, subscription: str, options: dict[str, Any]) -> Any:
    server = _server(home)
    return kind(credential(home), subscription, base_url=server.https, **_trusting(server), **options)


def _storage(module: str, kind: str, account: str | None, home: str | Path | None, options: dict[str, Any]) -> Any:
    client = _needed(module, kind)
    server = _server(home)
    name = account or _only("storage account", _storage_accounts(home))
    return client(f"{server.https}/{name}", credential(home), **_trusting(server), **options)


def _trusting(server: Addresses) -> dict[str, Any]:
    return {"connection_verify": server.ca_file}


def _server(home: str | Path | None) -> Addresses:
    """Where the workspace's server listens; StateError unless one does."""
    path = home_path(home)
    addresses = read_addresses(path)
    if addresses is not None:
        host, _, port = addresses.https.partition("://")[2].rpartition(":")
        try:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except OSError:
            addresses = None  # a killed server leaves its file behind
    if addresses is None:
        raise StateError("No server runs for the workspace.", where=str(path), cure="Start it with `kyanite serve`.")
    return addresses


def _storage_accounts(home: str | Path | None) -> list[str]:
    with open_workspace(home) as workspace:
        return list(workspace.accounts.names())


def _batch_accounts(home: str | Path | None) -> list[str]:
    with open_workspace(home) as workspace:
        return [account.name for account in workspace.batch.accounts()]


def _only(what: str, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise NotFoundError(f"The workspace has no {what}.", cure="Make one, or deploy a template that has one.")
    raise UserError(f"The workspace has {len(names)} {what}s.", cure=f"Name one of them: {', '.join(sorted(names))}.")


def _needed(module: str, name: str) -> Any:
    """A name of one of Azure's packages, imported now; NotFoundError that says what to install."""
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        package = _PACKAGES[module]
        raise NotFoundError(
            f"The Python package {package} is not installed.",
            cure=f'Install it: pip install {package}, or all clients with pip install "kyanite[sdk]".',
        ) from error


def _until() -> int:
    return int(time.time()) + _TOKEN_SECONDS
