"""What a Batch account lists beside its pools and jobs: applications, images, counts of nodes, usage."""

from __future__ import annotations

from typing import Any

from kyanite.server.batch.filters import read_moment
from kyanite.server.batch.options import one, page
from kyanite.server.batch.protocol import Call, Reply, wrong_query


def list_applications(call: Call) -> Reply:
    """Application_List."""
    return _plain(call, "applications", call.service.list_applications(call.account))


def get_application(call: Call) -> Reply:
    """Application_Get."""
    application = call.service.get_application(call.account, call.parameters["applicationId"])
    return one(call, application, "applications")


def supported_images(call: Call) -> Reply:
    """Account_ListSupportedImages."""
    return _plain(call, "supportedimages", call.service.supported_images(call.account), "images")


def node_counts(call: Call) -> Reply:
    """Account_ListPoolNodeCounts."""
    return _plain(call, "nodecounts", call.service.node_counts(call.account), "nodecounts")


def usage_metrics(call: Call) -> Reply:
    """Pool_ListUsageMetrics."""
    for name in ("starttime", "endtime"):
        value = call.query(name)
        if value and read_moment(value) is None:
            raise wrong_query(name, value, "It is an ISO 8601 date and time.")
    return _plain(call, "poolusagemetrics", call.service.usage(call.account), "usage")


def _plain(call: Call, kind: str, documents: Any, filters: str = "") -> Reply:
    """A page of a short list that is JSON already; its place is told by a counter, for names may repeat."""
    listed = list(documents)
    places = {id(document): str(number) for number, document in enumerate(listed, 1)}

    def after(token: str | None) -> list[Any]:
        if token is None:
            return listed
        if not token.isdigit():
            raise wrong_query("$skiptoken", token, "It is not a token of this list.")
        return listed[int(token) :]

    return page(call, kind, after, lambda document: document, lambda document: places[id(document)], filters)
