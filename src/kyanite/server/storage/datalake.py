"""The Data Lake service: filesystems, folders and files of an account with a hierarchical namespace.

https://learn.microsoft.com/rest/api/storageservices/data-lake-storage-gen2
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import import_module

from kyanite.errors import StorageError, UnsupportedError, UserError
from kyanite.server.context import ServerContext
from kyanite.server.http import Request, Response
from kyanite.server.storage.authorise import Access, Authority, container_and_path
from kyanite.server.storage.dfs_wire import bad_parameter, failure, unsupported_header
from kyanite.storage import StorageAccount
from kyanite.storage.blobs import BlobStore

# (method, what is asked) -> "module:function" below this package; sorted
OPERATIONS: dict[tuple[str, str], str] = {
    ("DELETE", "filesystem"): "dfs_filesystems:delete",
    ("DELETE", "path"): "dfs_paths:delete",
    ("GET", "account"): "dfs_filesystems:list_filesystems",
    ("GET", "filesystem"): "dfs_filesystems:list_paths",
    ("GET", "path"): "dfs_reading:read",
    ("HEAD", "checkAccess"): "dfs_reading:check_access",
    ("HEAD", "filesystem"): "dfs_filesystems:get_properties",
    ("HEAD", "getAccessControl"): "dfs_reading:get_access_control",
    ("HEAD", "getStatus"): "dfs_reading:get_status",
    ("HEAD", "path"): "dfs_reading:get_properties",
    ("PATCH", "append"): "dfs_appending:append",
    ("PATCH", "filesystem"): "dfs_filesystems:set_properties",
    ("PATCH", "flush"): "dfs_appending:flush",
    ("PATCH", "setAccessControl"): "dfs_changing:set_access_control",
    ("PATCH", "setAccessControlRecursive"): "dfs_changing:set_access_control_recursive",
    ("PATCH", "setProperties"): "dfs_changing:set_properties",
    ("POST", "path"): "dfs_changing:lease",
    ("PUT", "directory"): "dfs_paths:create_directory",
    ("PUT", "file"): "dfs_paths:create_file",
    ("PUT", "filesystem"): "dfs_filesystems:create",
    ("PUT", "rename"): "dfs_paths:rename",
}
_ACTIONS = frozenset(
    asked for method, asked in OPERATIONS if method in ("HEAD", "PATCH") and asked not in ("path", "filesystem")
)
REFUSED_HEADERS = (
    "x-ms-encryption-algorithm",
    "x-ms-encryption-context",
    "x-ms-encryption-key",
    "x-ms-encryption-scope",
    "x-ms-expiry-option",
    "x-ms-structured-body",
)


@dataclass(frozen=True)
class Call:
    """One request with all that an operation needs. `path` is empty for the filesystem itself."""

    context: ServerContext
    request: Request
    account: StorageAccount
    authority: Authority
    access: Access
    filesystem: str
    path: str

    @property
    def store(self) -> BlobStore:
        """The account's containers."""
        return self.account.blobs

    def require(self, permissions: str, path: str | None = None) -> None:
        """AccessRefused unless one of the letters is given on the path (another one, if named)."""
        self.access.require(permissions, container=self.filesystem, path=self.path if path is None else path)

    def require_filesystem(self, permissions: str, path: str = "", *, service_sas: bool = False) -> None:
        """The same on the filesystem; `path` is the folder that is listed."""
        self.access.require(permissions, resource="c", container=self.filesystem, path=path, service_sas=service_sas)


def address_of(method: str, asked: str) -> str:
    """How a client asks for an operation of the table."""
    if asked == "account":
        return "/?resource=account"
    if asked == "filesystem":
        return "/{filesystem}?resource=filesystem"
    if asked == "rename":
        return "/{filesystem}/{path} with x-ms-rename-source"
    if asked == "path":
        return "/{filesystem}/{path}"
    name = "resource" if method == "PUT" else "action"
    return f"/{{filesystem}}/{{path}}?{name}={asked}"


def is_datalake(request: Request) -> bool:
    """Whether a request is for this service. With the account in the path, one address serves this and Blob."""
    if request.host_style:
        return ".dfs." in request.host
    query, headers = request.query, request.headers
    if request.method == "PATCH" or "x-ms-rename-source" in headers or "x-ms-undelete-source" in headers:
        return True
    if "resource" in query or "action" in query:
        return True
    if request.method == "DELETE":
        return "recursive" in query
    return request.method == "POST" and "x-ms-lease-action" in headers and "comp" not in query


def restore_account(request: Request, exists: Callable[[str], bool]) -> None:
    """Put the account back into the path of a rename from the Azure SDK for C++ (pyarrow).

    With the account in the path it makes the target's address from filesystem and path alone (pyarrow 26); whose
    account is meant stands in its signature.
    """
    if request.host_style or "x-ms-rename-source" not in request.headers or exists(request.account):
        return
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    account = credential.partition(":")[0]
    if scheme == "SharedKey" and exists(account):
        request.account, request.rest = account, request.raw_path


class DataLake:
    """The service for all accounts of a workspace."""

    def __init__(self, context: ServerContext, authority: Authority) -> None:
        self._context = context
        self._authority = authority

    async def handle(self, request: Request, account: StorageAccount) -> Response:
        """Answer a request; StorageError with the service's codes."""
        access = self._authority.enter(request, account)
        if not account.hierarchical:
            raise StorageError(
                "The account does not have a hierarchical namespace.",
                cure="Make one with it, or use the Blob service.",
                code="HierarchicalNamespaceNotEnabled",
            )
        for name in REFUSED_HEADERS:
            if name in request.headers:
                raise unsupported_header(name)
        filesystem, path = container_and_path(request.rest)
        path = path.strip("/")
        operation = _operation(request, filesystem)
        return await operation(Call(self._context, request, account, self._authority, access, filesystem, path))

    def failure(self, request: Request, error: Exception) -> Response:
        """The service's error in JSON."""
        return failure(request, error)


def _operation(request: Request, filesystem: str) -> Callable[[Call], Awaitable[Response]]:
    asked = _asked(request, filesystem)
    reference = OPERATIONS.get((request.method, asked))
    if reference is None:
        raise UserError(
            "The resource doesn't support the specified HTTP verb.",
            cure=f"{request.method} is not for {asked}.",
            code="UnsupportedHttpVerb",
        )
    module, _, function = reference.partition(":")
    found: Callable[[Call], Awaitable[Response]] = getattr(import_module(f"kyanite.server.storage.{module}"), function)
    return found


def _asked(request: Request, filesystem: str) -> str:
    """What a request is about, as OPERATIONS names it."""
    query = request.query
    if "comp" in query or "restype" in query:
        _refuse_component(request)
    resource, action = query.get("resource"), query.get("action")
    if resource == "account" or not filesystem:
        return "account"
    if resource == "filesystem":
        return "filesystem"
    if resource not in ("", "file", "directory"):
        raise bad_parameter("resource", "it is account, filesystem, file or directory")
    if "x-ms-rename-source" in request.headers:
        return "rename"
    if resource and request.method == "PUT":
        return resource
    if action:
        if action not in _ACTIONS:
            raise bad_parameter("action", f"it is one of {', '.join(sorted(_ACTIONS))}")
        return action
    if request.method in ("PATCH", "PUT"):
        name = "action" if request.method == "PATCH" else "resource"
        raise UserError(f"The query parameter {name} is missing.", code="MissingRequiredQueryParameter")
    return "path"


def _refuse_component(request: Request) -> None:
    if request.query.get("comp") == "undelete" or "x-ms-undelete-source" in request.headers:
        raise UnsupportedError(
            "Deleted files and folders are not kept (soft delete), so none can be brought back.", code="NotImplemented"
        )
    raise UserError(
        "comp and restype are parameters of the Blob service.",
        cure="Send the request to the account's Blob address.",
        code="UnsupportedQueryParameter",
    )
