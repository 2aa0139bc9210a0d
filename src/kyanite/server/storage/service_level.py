"""Operations on the account itself."""

from __future__ import annotations

from kyanite.errors import StorageError, UserError
from kyanite.limits import LIST_RESULTS, SERVICE_XML_BYTES
from kyanite.server.http import Response
from kyanite.server.storage.call import Call
from kyanite.server.storage.delegation_key import user_delegation_key
from kyanite.server.storage.headers import http_date, quoted
from kyanite.server.storage.marker import read_marker, write_marker
from kyanite.server.storage.xml import answer, element, leaf, metadata_xml, parse
from kyanite.storage import containers, leases
from kyanite.storage.containers import Container

_OFF = element("Enabled", "false")
_PROPERTIES = element(
    "StorageServiceProperties",
    element(
        "Logging",
        leaf("Version", "1.0"),
        leaf("Delete", "false"),
        leaf("Read", "false"),
        leaf("Write", "false"),
        element("RetentionPolicy", leaf("Enabled", "false")),
    ),
    *(
        element(
            name,
            leaf("Version", "1.0"),
            leaf("Enabled", "false"),
            element("RetentionPolicy", leaf("Enabled", "false")),
        )
        for name in ("HourMetrics", "MinuteMetrics")
    ),
    "<Cors />",
    element("DeleteRetentionPolicy", leaf("Enabled", "false")),
    element("StaticWebsite", leaf("Enabled", "false")),
)
_SWITCHES = ("Enabled", "Read", "Write", "Delete")


async def get_properties(call: Call) -> Response:
    """Everything that can be switched on is off."""
    return answer(_PROPERTIES)


async def set_properties(call: Call) -> Response:
    """Accepted while it switches nothing on: a setting that has no effect would be a lie."""
    root = parse(await call.request.body(SERVICE_XML_BYTES))
    if root.tag != "StorageServiceProperties":
        raise UserError("The body is no StorageServiceProperties.", code="InvalidXmlDocument")
    for part in root:
        wanted = [each.tag for each in part.iter() if each.tag in _SWITCHES and (each.text or "").lower() == "true"]
        if wanted or part.find("CorsRule") is not None:
            raise StorageError(f"{part.tag} cannot be switched on here.", code="NotImplemented")
    return Response(202)


async def account(call: Call) -> Response:
    """Kind and redundancy, in headers."""
    headers = {
        "x-ms-sku-name": "Standard_LRS",
        "x-ms-account-kind": "StorageV2",
        "x-ms-is-hns-enabled": str(call.account.hierarchical).lower(),
    }
    return Response(200, headers)


async def list_containers(call: Call) -> Response:
    """A page of the account's containers."""
    prefix, include = call.option("prefix"), call.option("include").split(",")
    most = page_size(call)
    after = read_marker(call.option("marker"))
    store = call.store

    def page() -> tuple[list[str], str]:
        wanted = [name for name in containers.names(store) if name.startswith(prefix) and name > after]
        shown = [_container(call, containers.get(store, name), "metadata" in include) for name in wanted[:most]]
        return shown, write_marker(wanted[most - 1]) if len(wanted) > most else ""

    items, marker = await call.in_thread(page)
    return answer(
        f'<EnumerationResults ServiceEndpoint="{call.request.mounted.split("?")[0].rstrip("/")}/">'
        + leaf("Prefix", prefix)
        + leaf("Marker", call.option("marker"))
        + leaf("MaxResults", most)
        + element("Containers", *items)
        + leaf("NextMarker", marker)
        + "</EnumerationResults>"
    )


def page_size(call: Call) -> int:
    """The `maxresults` of a listing. UserError `OutOfRangeQueryParameterValue`."""
    text = call.option("maxresults")
    if not text:
        return LIST_RESULTS
    try:
        number = int(text)
    except ValueError as problem:
        raise UserError("maxresults is not a number.", code="InvalidQueryParameterValue") from problem
    if number < 1:
        raise UserError("maxresults must be at least 1.", code="OutOfRangeQueryParameterValue")
    return min(number, LIST_RESULTS)


def _container(call: Call, found: Container, with_metadata: bool) -> str:
    lease = containers.lease_of(call.store, found.name)
    state = leases.state_of(lease, call.now)
    active = state in ("leased", "breaking")
    return element(
        "Container",
        leaf("Name", found.name),
        element(
            "Properties",
            leaf("Last-Modified", http_date(found.modified)),
            leaf("Etag", quoted(found.etag)),
            leaf("LeaseStatus", "locked" if active else "unlocked"),
            leaf("LeaseState", state),
            leaf("LeaseDuration", "infinite" if lease and lease.seconds == -1 else "fixed")
            if state == "leased"
            else "",
            leaf("DefaultEncryptionScope", "$account-encryption-key"),
            leaf("DenyEncryptionScopeOverride", "false"),
            leaf("HasImmutabilityPolicy", "false"),
            leaf("HasLegalHold", "false"),
        ),
        metadata_xml(found.metadata) if with_metadata else "",
    )


async def delegation_key(call: Call) -> Response:
    """A key for SAS that a user signs instead of the account."""
    body = await call.request.body(SERVICE_XML_BYTES)
    return user_delegation_key(call.service.context, call.request, call.account, body)
