"""Operations on a container."""

from __future__ import annotations

from dataclasses import replace

from kyanite.errors import StorageError, UserError
from kyanite.limits import SERVICE_XML_BYTES
from kyanite.server.http import Response
from kyanite.server.storage.call import Call, changed
from kyanite.server.storage.headers import metadata_headers, read_conditions, read_metadata
from kyanite.server.storage.lease import lease_headers
from kyanite.server.storage.xml import answer, element, leaf, parse
from kyanite.storage import containers
from kyanite.storage.model import check_container_name

_POLICIES = 5


async def create(call: Call) -> Response:
    """Create Container."""
    metadata = read_metadata(call.request.headers)
    _refuse_public(call)
    if not 3 <= len(call.container) <= 63 and not call.container.startswith("$"):
        raise UserError(
            "The specified resource name length is not within the permissible limits.", code="OutOfRangeInput"
        )
    try:
        check_container_name(call.container)
    except UserError as problem:
        message = "The specified resource name contains invalid characters."
        raise UserError(message, cure=problem.cure, code="InvalidResourceName") from problem
    made = await call.in_thread(containers.create, call.store, call.container, metadata)
    return changed(made.etag, made.modified, 201)


def _refuse_public(call: Call) -> None:
    if call.header("x-ms-blob-public-access"):
        raise StorageError("Public access is not permitted on this storage account.", code="PublicAccessNotPermitted")


async def get(call: Call) -> Response:
    """Get Container Properties and Metadata."""
    found = await call.in_thread(containers.get, call.store, call.container)
    containers.check(call.store, found, read_conditions(call.request.headers), reading=True)
    response = changed(found.etag, found.modified)
    response.headers |= {
        **metadata_headers(found.metadata),
        **lease_headers(containers.lease_of(call.store, found.name), call.now),
        "x-ms-has-immutability-policy": "false",
        "x-ms-has-legal-hold": "false",
        "x-ms-default-encryption-scope": "$account-encryption-key",
        "x-ms-deny-encryption-scope-override": "false",
    }
    return response


async def set_metadata(call: Call) -> Response:
    """Set Container Metadata: replaces all of it."""
    metadata = read_metadata(call.request.headers)
    found = await call.in_thread(
        containers.change,
        call.store,
        call.container,
        lambda container: replace(container, metadata=metadata),
        read_conditions(call.request.headers),
    )
    return changed(found.etag, found.modified)


async def delete(call: Call) -> Response:
    """Delete Container."""
    await call.in_thread(containers.delete, call.store, call.container, read_conditions(call.request.headers))
    return Response(202)


async def get_acl(call: Call) -> Response:
    """The stored access policies; public access is always off."""
    found = await call.in_thread(containers.get, call.store, call.container)
    containers.check(call.store, found, read_conditions(call.request.headers), reading=True)
    policies = (
        element(
            "SignedIdentifier",
            leaf("Id", name),
            element(
                "AccessPolicy",
                leaf("Start", start) if start else "",
                leaf("Expiry", expiry) if expiry else "",
                leaf("Permission", permission) if permission else "",
            ),
        )
        for name, start, expiry, permission in found.policies
    )
    headers = changed(found.etag, found.modified).headers
    return answer(element("SignedIdentifiers", *policies), headers=headers)


async def set_acl(call: Call) -> Response:
    """Replace the stored access policies."""
    _refuse_public(call)
    body = await call.request.body(SERVICE_XML_BYTES)
    policies: list[tuple[str, str, str, str]] = []
    for each in parse(body).iter("SignedIdentifier") if body else ():
        name = (each.findtext("Id") or "").strip()
        if not name or len(name) > 64:
            raise UserError("A SignedIdentifier has an Id of at most 64 characters.", code="InvalidXmlDocument")
        start, expiry, permission = (
            (each.findtext(f"AccessPolicy/{field}") or "").strip() for field in ("Start", "Expiry", "Permission")
        )
        policies.append((name, start, expiry, permission))
    if len(policies) > _POLICIES:
        raise UserError(f"A container has at most {_POLICIES} stored access policies.", code="InvalidXmlDocument")
    found = await call.in_thread(
        containers.change,
        call.store,
        call.container,
        lambda container: replace(container, policies=tuple(policies)),
        read_conditions(call.request.headers),
    )
    return changed(found.etag, found.modified)
