"""Find Blobs by Tags, in the account or in one container.

There is no index. The tags in the records of a container are read first; only if some match, its names are walked.
A page ends after so many names, found or not: the service too may give fewer results than asked for, and a marker.

https://learn.microsoft.com/rest/api/storageservices/find-blobs-by-tags
"""

from __future__ import annotations

from kyanite.errors import StorageError, UserError
from kyanite.limits import TAG_SEARCH_BLOBS
from kyanite.server.http import Response
from kyanite.server.storage.call import Call
from kyanite.server.storage.marker import read_marker, write_marker
from kyanite.server.storage.service_level import page_size
from kyanite.server.storage.tags import tags_xml
from kyanite.server.storage.xml import answer, element, leaf, name_leaf
from kyanite.storage import containers, listing
from kyanite.storage.blobs import BlobStore
from kyanite.storage.properties import Blob
from kyanite.storage.tag_query import Search, read_search


async def run(call: Call) -> Response:
    """A page of the blobs whose tags match."""
    where = call.option("where")
    if not where:
        raise UserError("The query has no where.", code="MissingRequiredQueryParameter")
    search = read_search(where)
    found, marker = await call.in_thread(
        find, call.store, search, call.container, read_marker(call.option("marker")), page_size(call)
    )
    endpoint = call.request.mounted.removesuffix(call.request.rest.partition("?")[0])
    return answer(
        f'<EnumerationResults ServiceEndpoint="{endpoint}/">'
        + leaf("Where", where)
        + element("Blobs", *(_blob(blob, search) for blob in found))
        + leaf("NextMarker", write_marker(marker) if marker else "")
        + "</EnumerationResults>"
    )


def find(store: BlobStore, search: Search, container: str, after: str, most: int) -> tuple[list[Blob], str]:
    """The blobs behind `container/path`, and where the next page begins; every container for an empty name."""
    if container:
        store.require_container(container)
    found: list[Blob] = []
    seen, last = 0, ""
    begun, _, path = after.partition("/")
    for name in [container] if container else containers.names(store):
        if name < begun or not search.covers(name) or not _may_have(store, name, search):
            continue
        try:
            for blob in listing.walk(store, name, after=path if name == begun else "", folders=False):
                if len(found) == most or seen == TAG_SEARCH_BLOBS:
                    return found, last
                seen, last = seen + 1, f"{name}/{blob.path}"
                if search.matches(blob.properties.tags):
                    found.append(blob)
        except StorageError as problem:
            if container or problem.error_code != "ContainerNotFound":
                raise  # another container that goes away meanwhile has nothing to be found
    return found, ""


def _may_have(store: BlobStore, container: str, search: Search) -> bool:
    return any(search.matches(tags) for tags in store.records(container).tags())


def _blob(blob: Blob, search: Search) -> str:
    return element(
        "Blob",
        name_leaf(blob.path),
        leaf("ContainerName", blob.container),
        tags_xml(search.shown(blob.properties.tags)),
    )
