"""The table of Blob operations: how a request asks for each, what access it needs, and which function answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from kyanite.server.http import Request
from kyanite.server.storage.authorise import Need

if TYPE_CHECKING:
    from kyanite.server.storage.call import Call

ROOT = "$root"


@dataclass(frozen=True, slots=True)
class Operation:
    """`key` is level, method and what the query (for writes of blobs also the headers) asks for.

    `access`: any of these SAS letters; empty for those that only account keys and roles may do. `creates`: `c` is
    enough where nothing is replaced. `refused` says why the operation is not here, `code` with which error.
    """

    name: str
    key: tuple[Literal["service", "container", "blob"], str, str]
    run: str = ""
    access: str = ""
    creates: bool = False
    service_sas: bool = True
    refused: str = ""
    code: str = "NotImplemented"


def _no(name: str, level: Literal["service", "container", "blob"], method: str, word: str, why: str) -> Operation:
    return Operation(name, (level, method, word), access="racwdl", refused=why)


_ANY = "racwdxltfmeop"
_NO_SNAPSHOTS = "accounts here keep no snapshots and no versions"
_NO_PAGES = "page blobs are the disks of virtual machines; use a block or an append blob"

OPERATIONS: tuple[Operation, ...] = (
    # the account
    Operation("List Containers", ("service", "GET", "list"), "service_level:list_containers", "l", service_sas=False),
    Operation(
        "Get Blob Service Properties", ("service", "GET", "service/properties"), "service_level:get_properties", "r"
    ),
    Operation(
        "Set Blob Service Properties", ("service", "PUT", "service/properties"), "service_level:set_properties", "w"
    ),
    Operation(
        "Get User Delegation Key",
        ("service", "POST", "service/userdelegationkey"),
        "service_level:delegation_key",
        "r",
        service_sas=False,
    ),
    Operation("Get Account Information", ("service", "GET", "account/properties"), "service_level:account", _ANY),
    Operation("Blob Batch", ("service", "POST", "batch"), "batch:run", _ANY, service_sas=False),
    Operation("Preflight Blob Request", ("service", "OPTIONS", ""), "cors"),
    Operation(
        "Get Blob Service Stats",
        ("service", "GET", "service/stats"),
        access="r",
        refused="there is no secondary location",
        code="InvalidQueryParameterValue",  # as the service says of an account that has none
    ),
    Operation("Find Blobs by Tags", ("service", "GET", "blobs"), "find_blobs:run", "f", service_sas=False),
    # containers
    Operation("Create Container", ("container", "PUT", ""), "container_level:create", "cw", service_sas=False),
    Operation("Get Container Properties", ("container", "GET", ""), "container_level:get", "rl", service_sas=False),
    Operation(
        "Get Container Metadata", ("container", "GET", "metadata"), "container_level:get", "rl", service_sas=False
    ),
    Operation(
        "Set Container Metadata",
        ("container", "PUT", "metadata"),
        "container_level:set_metadata",
        "w",
        service_sas=False,
    ),
    Operation("Get Container ACL", ("container", "GET", "acl"), "container_level:get_acl"),
    Operation("Set Container ACL", ("container", "PUT", "acl"), "container_level:set_acl"),
    Operation("Delete Container", ("container", "DELETE", ""), "container_level:delete", "d", service_sas=False),
    Operation("Lease Container", ("container", "PUT", "lease"), "lease:container", "w", service_sas=False),
    Operation("List Blobs", ("container", "GET", "list"), "list_blobs:run", "l"),
    Operation("Blob Batch (container)", ("container", "POST", "batch"), "batch:run", _ANY),
    Operation(
        "Get Account Information (container)", ("container", "GET", "account/properties"), "service_level:account", _ANY
    ),
    Operation("Preflight Blob Request (container)", ("container", "OPTIONS", ""), "cors"),
    _no("Restore Container", "container", "PUT", "undelete", "deleted containers are not kept"),
    Operation("Find Blobs by Tags in Container", ("container", "GET", "blobs"), "find_blobs:run", "f"),
    # blobs
    Operation("Put Blob", ("blob", "PUT", ""), "put_blob:run", "cw", creates=True),
    Operation("Put Blob From URL", ("blob", "PUT", "from-url"), "copy:put_from_url", "cw", creates=True),
    Operation("Get Blob", ("blob", "GET", ""), "get_blob:run", "r"),
    Operation("Get Blob Properties", ("blob", "HEAD", ""), "get_blob:head", "r"),
    Operation("Get Blob Metadata", ("blob", "GET", "metadata"), "get_blob:metadata", "r"),
    Operation("Set Blob Metadata", ("blob", "PUT", "metadata"), "change_blob:set_metadata", "w"),
    Operation("Set Blob Properties", ("blob", "PUT", "properties"), "change_blob:set_properties", "w"),
    Operation("Set Blob Tier", ("blob", "PUT", "tier"), "change_blob:set_tier", "w"),
    Operation("Get Blob Tags", ("blob", "GET", "tags"), "change_blob:get_tags", "t"),
    Operation("Set Blob Tags", ("blob", "PUT", "tags"), "change_blob:set_tags", "t"),
    Operation("Delete Blob", ("blob", "DELETE", ""), "change_blob:delete", "d"),
    Operation("Lease Blob", ("blob", "PUT", "lease"), "lease:blob", "w"),
    Operation("Copy Blob", ("blob", "PUT", "copy"), "copy:copy", "cw", creates=True),
    Operation("Copy Blob From URL", ("blob", "PUT", "copy-sync"), "copy:copy", "cw", creates=True),
    Operation("Abort Copy Blob", ("blob", "PUT", "copy-abort"), "copy:abort", "w"),
    Operation("Put Block", ("blob", "PUT", "block"), "blocks:put_block", "cw", creates=True),
    Operation("Put Block From URL", ("blob", "PUT", "block-from-url"), "blocks:put_block_from_url", "cw", creates=True),
    Operation("Put Block List", ("blob", "PUT", "blocklist"), "blocks:put_block_list", "cw", creates=True),
    Operation("Get Block List", ("blob", "GET", "blocklist"), "blocks:get_block_list", "r"),
    Operation("Append Block", ("blob", "PUT", "appendblock"), "append_blob:append", "aw"),
    Operation("Append Block From URL", ("blob", "PUT", "appendblock-from-url"), "append_blob:append_from_url", "aw"),
    Operation("Append Blob Seal", ("blob", "PUT", "seal"), "append_blob:seal", "aw"),
    Operation("Get Account Information (blob)", ("blob", "GET", "account/properties"), "service_level:account", _ANY),
    Operation("Preflight Blob Request (blob)", ("blob", "OPTIONS", ""), "cors"),
    _no("Snapshot Blob", "blob", "PUT", "snapshot", _NO_SNAPSHOTS),
    _no("Undelete Blob", "blob", "PUT", "undelete", "deleted blobs are not kept"),
    _no("Put Page", "blob", "PUT", "page", _NO_PAGES),
    _no("Get Page Ranges", "blob", "GET", "pagelist", _NO_PAGES),
    _no("Incremental Copy Blob", "blob", "PUT", "incrementalcopy", _NO_PAGES),
    _no("Set Blob Expiry", "blob", "PUT", "expiry", "blobs do not expire"),
    _no("Query Blob Contents", "blob", "POST", "query", "read the blob and query it with a tool of your own"),
    _no("Set Immutability Policy", "blob", "PUT", "immutabilitypolicies", "blobs can always be changed by their owner"),
    _no("Delete Immutability Policy", "blob", "DELETE", "immutabilitypolicies", "there are no immutability policies"),
    _no("Set Blob Legal Hold", "blob", "PUT", "legalhold", "blobs can always be changed by their owner"),
)
BY_KEY: dict[tuple[str, str, str], Operation] = {operation.key: operation for operation in OPERATIONS}


def split_path(request: Request) -> tuple[str, str]:
    """The container and the path of a blob in it, decoded; a blob without a container is in `$root`."""
    first, slash, rest = request.rest.removeprefix("/").partition("/")
    container, path = unquote(first), unquote(rest).replace("\\", "/")  # as the service does
    if slash and rest:
        return container, path
    restype, comp = request.query.get("restype"), request.query.get("comp")
    is_other = restype in ("container", "service", "account") or comp in ("list", "batch", "blobs")
    if not container or is_other or container == ROOT or request.method in ("OPTIONS", "POST"):
        return container, ""
    return ROOT, container


def key_of(call: Call) -> tuple[str, str, str]:
    """Which row of the table a request asks for."""
    request = call.request
    query = request.query
    comp, restype, method = query.get("comp").lower(), query.get("restype").lower(), request.method
    if restype == "account":
        comp = f"account/{comp}"
    if method == "OPTIONS":
        comp = ""
    if call.path:
        if comp == "" and method == "HEAD":
            return "blob", "HEAD", ""
        method = "GET" if method == "HEAD" else method
        return "blob", method, _blob_word(request, comp) if method == "PUT" else comp
    method = "GET" if method == "HEAD" else method
    if call.container:
        return "container", method, comp
    return "service", method, f"service/{comp}" if restype == "service" else comp


def _blob_word(request: Request, comp: str) -> str:
    copies = "x-ms-copy-source" in request.headers
    if comp == "":
        if not copies:
            return ""
        if "x-ms-blob-type" in request.headers:
            return "from-url"
        return "copy-sync" if request.headers.get("x-ms-requires-sync", "").lower() == "true" else "copy"
    if comp == "copy":
        return "copy-abort"
    if comp in ("block", "appendblock") and copies:
        return f"{comp}-from-url"
    return comp


_LEVELS: dict[str, Literal["s", "c", "o"]] = {"service": "s", "container": "c", "blob": "o"}


def needs(operation: Operation, call: Call) -> tuple[Need, ...]:
    """What the request has to be allowed."""
    level = _LEVELS[operation.key[0]]
    if operation.key[2] == "batch" or operation.key == ("service", "GET", "blobs"):  # both are about blobs
        level = "o"
    access = operation.access
    by_sas = bool(call.request.query.get("sig"))
    if operation.creates and by_sas and _exists(call):
        access = access.replace("c", "")
    own = Need(access, level, call.container, call.path, operation.service_sas and bool(access))
    if by_sas and _has_tags(operation, call):
        return own, Need("t", own.level, call.container, call.path)
    return (own,)


def _has_tags(operation: Operation, call: Call) -> bool:
    """Whether a request gives a blob tags, or lists them."""
    if operation.run == "list_blobs:run":
        return "tags" in call.option("include").lower().split(",")
    return "x-ms-tags" in call.request.headers


def _exists(call: Call) -> bool:
    from kyanite.errors import KyaniteError

    try:
        return call.store.get(call.container, call.path) is not None
    except KyaniteError:
        return False
