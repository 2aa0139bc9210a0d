"""List Blobs, flat or by a delimiter."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

from kyanite.errors import UserError
from kyanite.server.http import Response
from kyanite.server.storage.call import Call
from kyanite.server.storage.get_blob import shown_metadata
from kyanite.server.storage.headers import http_date, http_time
from kyanite.server.storage.marker import read_marker, write_marker
from kyanite.server.storage.service_level import page_size
from kyanite.server.storage.tags import tags_xml
from kyanite.server.storage.xml import answer, element, leaf, metadata_xml, name_leaf
from kyanite.storage import blocks, leases, listing
from kyanite.storage.lease_files import LeaseFiles
from kyanite.storage.listing import Prefix
from kyanite.storage.properties import APPEND_BLOB, Blob

_INCLUDES = frozenset(
    (
        "",
        "copy",
        "deleted",
        "deletedwithversions",
        "immutabilitypolicy",
        "legalhold",
        "metadata",
        "permissions",
        "snapshots",
        "tags",
        "uncommittedblobs",
        "versions",
    )
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing asks for; `after` is the name it goes on behind."""

    prefix: str
    delimiter: str
    after: str
    start: str
    most: int
    include: frozenset[str]


async def run(call: Call) -> Response:
    """A page of the container's blobs."""
    include = frozenset(call.option("include").lower().replace(" ", "").split(",")) - {""}
    if include - _INCLUDES:
        raise UserError("include names something that no listing has.", code="InvalidQueryParameterValue")
    wanted = Wanted(
        call.option("prefix"),
        call.option("delimiter"),
        read_marker(call.option("marker")),
        call.option("startfrom"),
        page_size(call),
        include,
    )
    items, marker = await call.in_thread(_page, call, wanted)
    endpoint = call.request.mounted.removesuffix(call.request.rest.partition("?")[0])
    return answer(
        f'<EnumerationResults ServiceEndpoint="{endpoint}/" ContainerName="{call.container}">',
        leaf("Prefix", wanted.prefix),
        leaf("Marker", call.option("marker")) if call.option("marker") else "",
        leaf("MaxResults", wanted.most) if call.option("maxresults") else "",
        leaf("Delimiter", wanted.delimiter) if wanted.delimiter else "",
        *(("<Blobs>", *items, "</Blobs>") if items else ("<Blobs />",)),
        leaf("NextMarker", marker),
        "</EnumerationResults>",
    )


def _page(call: Call, wanted: Wanted) -> tuple[list[str], str]:
    shown: list[str] = []
    last = ""
    leased = LeaseFiles(call.store.folder, call.container).any()
    for item in _items(call, wanted):
        if len(shown) == wanted.most:
            return shown, write_marker(last)
        last = item.path
        shown.append(_prefix(item, wanted) if isinstance(item, Prefix) else _blob(call, item, wanted.include, leased))
    return shown, ""


def _items(call: Call, wanted: Wanted) -> Iterator[Blob | Prefix]:
    if "uncommittedblobs" in wanted.include:
        return _with_uncommitted(call, wanted)
    if wanted.delimiter == "/":
        return listing.level(call.store, call.container, prefix=wanted.prefix, after=wanted.after, start=wanted.start)
    found = listing.walk(call.store, call.container, prefix=wanted.prefix, after=wanted.after, start=wanted.start)
    return grouped(found, wanted) if wanted.delimiter else iter(found)


def grouped(found: Iterator[Blob], wanted: Wanted) -> Iterator[Blob | Prefix]:
    """Names that go on to a delimiter behind the prefix, as one item each."""
    last = ""
    for blob in found:
        cut = blob.path.find(wanted.delimiter, len(wanted.prefix))
        if cut < 0:
            yield blob
            continue
        group = blob.path[: cut + len(wanted.delimiter)]
        if group not in (last, wanted.after):
            yield Prefix(group)
        last = group


def _with_uncommitted(call: Call, wanted: Wanted) -> Iterator[Blob | Prefix]:
    """Blobs and those that only have uncommitted blocks so far, in order."""
    import heapq

    store = call.store
    committed = listing.walk(store, call.container, prefix=wanted.prefix, after=wanted.after, start=wanted.start)
    waiting = (
        Blob(call.container, path, 0, at, 0)
        for path, at in blocks.names_uncommitted(store, call.container)
        if path.startswith(wanted.prefix) and path > wanted.after and store.get(call.container, path) is None
    )
    merged = heapq.merge(committed, waiting, key=lambda blob: blob.path)
    return grouped(merged, wanted) if wanted.delimiter else merged


def _prefix(item: Prefix, wanted: Wanted) -> str:
    if item.folder is None:
        return element("BlobPrefix", name_leaf(item.path))
    folder = item.folder
    return element(
        "BlobPrefix",
        name_leaf(item.path),
        element(
            "Properties",
            leaf("Creation-Time", http_date(folder.created)),
            leaf("Last-Modified", http_date(folder.modified)),
            leaf("Etag", folder.etag),
            leaf("ResourceType", "directory"),
        ),
    )


def _blob(call: Call, blob: Blob, include: frozenset[str], leased: bool) -> str:
    """One <Blob>; written as one text, since a page has thousands."""
    properties = blob.properties
    before_md5, behind_md5 = _alike(*_alike_fields(properties))
    modified = http_time(blob.modified_ns)
    created = http_time(properties.created_ns) if properties.created_ns else modified
    lease = _lease(call, blob) if leased else _UNLOCKED
    kind = _KINDS[blob.is_folder] if call.account.hierarchical else ""
    tags = f"<TagCount>{len(properties.tags)}</TagCount>" if properties.tags else ""
    more = _included(blob, include) if include else ("", "")
    return (
        f"<Blob>{name_leaf(blob.path)}<Properties><Creation-Time>{created}</Creation-Time>"
        f"<Last-Modified>{modified}</Last-Modified><Etag>{blob.etag}</Etag>"
        f"<Content-Length>{blob.size}</Content-Length>{before_md5}{leaf('Content-MD5', properties.content_md5)}"
        f"{behind_md5}{lease}<ServerEncrypted>true</ServerEncrypted>{tags}{more[0]}{kind}</Properties>{more[1]}"
        "<OrMetadata /></Blob>"
    )


_KINDS = ("<ResourceType>file</ResourceType>", "<ResourceType>directory</ResourceType>")
_alike_fields = attrgetter(
    "blob_type",
    "content_type",
    "content_encoding",
    "content_language",
    "cache_control",
    "content_disposition",
    "tier",
    "sealed",
)


@functools.lru_cache(maxsize=256)
def _alike(
    blob_type: str, kind: str, encoding: str, language: str, cache: str, disposition: str, tier: str, sealed: bool
) -> tuple[str, str]:
    """What most blobs of a container have in common, before and behind the MD5."""
    if blob_type == APPEND_BLOB:
        state = "<Sealed>true</Sealed>" if sealed else ""
    else:
        state = leaf("AccessTier", tier or "Hot") + ("" if tier else "<AccessTierInferred>true</AccessTierInferred>")
    return (
        leaf("Content-Type", kind) + leaf("Content-Encoding", encoding) + leaf("Content-Language", language),
        leaf("Cache-Control", cache) + leaf("Content-Disposition", disposition) + leaf("BlobType", blob_type) + state,
    )


def _included(blob: Blob, include: frozenset[str]) -> tuple[str, str]:
    """What a listing has on request, in the properties and behind them."""
    properties = blob.properties
    inside = behind = ""
    if "copy" in include:
        inside = "".join([leaf(_COPY[name], value) for name, value in properties.copy.items() if name in _COPY])
    if "metadata" in include:
        behind = metadata_xml(shown_metadata(blob))
    if "tags" in include and properties.tags:
        behind += tags_xml(properties.tags)
    return inside, behind


_COPY = {
    "id": "CopyId",
    "status": "CopyStatus",
    "source": "CopySource",
    "progress": "CopyProgress",
    "completion-time": "CopyCompletionTime",
}
_UNLOCKED = "<LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState>"


def _lease(call: Call, blob: Blob) -> str:
    lease = call.store.lease_of(blob)
    if lease is None:
        return _UNLOCKED
    state = leases.state_of(lease, call.now)
    status = "locked" if state in ("leased", "breaking") else "unlocked"
    duration = leaf("LeaseDuration", "infinite" if lease.seconds == -1 else "fixed") if state == "leased" else ""
    return leaf("LeaseStatus", status) + leaf("LeaseState", state) + duration
