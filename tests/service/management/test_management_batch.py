"""Batch accounts and their packages over the management API: what a client may write wrongly."""

from __future__ import annotations

import io
import zipfile
from typing import Any
from urllib.parse import urlsplit

import pytest

import kyanite.server.management.batch.applications as applications
from management_kit import SCOPE, Front

ACCOUNT = f"{SCOPE}/providers/Microsoft.Batch/batchAccounts/acct?api-version=2024-07-01"


@pytest.mark.parametrize(
    ("body", "target"),
    [
        ({"properties": {"autoStorage": "x"}}, "autoStorage"),
        ({"properties": 4}, "properties"),
        ({"tags": "x"}, "tags"),
        ({"identity": [1]}, "identity"),
    ],
)
def test_documents_of_another_shape_are_refused_and_not_kept(front: Front, body: Any, target: str) -> None:
    assert front.put(ACCOUNT, {"tags": {"a": "b"}}).status == 200
    for method in ("PUT", "PATCH"):
        refused = front.call(method, ACCOUNT, body)
        assert (refused.status, refused.code) == (400, "InvalidRequestContent")
        assert refused.json["error"]["target"] == target
    assert front.get(ACCOUNT).json["tags"] == {"a": "b"}


def test_a_package_is_taken_over_unless_it_is_too_large(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    assert front.put(ACCOUNT, {}).status == 200
    version = ACCOUNT.replace("?", "/applications/app/versions/1?")
    assert front.put(ACCOUNT.replace("?", "/applications/app?"), {}).status == 200
    place = urlsplit(front.put(version, {}).json["properties"]["storageUrl"]).path
    activate = version.replace("?", "/activate?")
    assert front.post(activate, {"format": "zip"}).code == "ApplicationPackageBlobNotFound"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("tool.txt", "x")
    name, container, path = place.strip("/").split("/", 2)
    account = front.workspace.accounts.get(name)
    assert account is not None
    with account.open_write(container, path) as out:
        out.write(packed.getvalue())
        out.commit()
    monkeypatch.setattr(applications, "PACKAGE_BYTES", len(packed.getvalue()) - 1)
    refused = front.post(activate, {"format": "zip"})
    assert (refused.status, refused.json["error"]["message"]) == (400, "The package is too large.")
    monkeypatch.setattr(applications, "PACKAGE_BYTES", len(packed.getvalue()))
    assert front.post(activate, {"format": "zip"}).json["properties"]["state"] == "Active"
