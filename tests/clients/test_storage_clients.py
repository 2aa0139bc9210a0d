"""Official storage clients, unmodified: by http with the account in the path, and by https under Azure's names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from storage_server import Endpoint, host_style, path_style

CLIENTS = ("adlfs", "blob", "blob_async", "datalake", "fsspec", "obstore", "pyarrow")


def check(endpoint: Endpoint, *clients: str) -> None:
    told = endpoint.flows(*clients)
    assert set(told) == set(clients)
    wrong = {
        f"{client}: {step}": outcome
        for client, found in told.items()
        for step, outcome in found["steps"].items()
        if outcome != "ok"
    }
    assert wrong == {}


def test_by_http(tmp_path: Path) -> None:
    with path_style(tmp_path) as endpoint:
        check(endpoint, *CLIENTS)


def test_by_https_under_azure_s_names(tmp_path: Path) -> None:
    with host_style(tmp_path) as endpoint:
        check(endpoint, "adlfs", "blob", "datalake", "obstore", "pyarrow", "user_delegation")


def test_an_account_without_folders(tmp_path: Path) -> None:
    with path_style(tmp_path, hierarchical=False) as endpoint:
        told = endpoint.flows("adlfs", "blob", "pyarrow")
        assert set(told["blob"]["steps"].values()) == set(told["adlfs"]["steps"].values()) == {"ok"}
        moves = {step for step, outcome in told["pyarrow"]["steps"].items() if outcome != "ok"}
        assert moves == {"move a file", "move a folder", "move over a filled folder"}  # not without folders, says Arrow


@pytest.mark.parametrize("style", [path_style, host_style])
def test_azure_storage_blob_2(tmp_path: Path, style, old_python: Path) -> None:
    with style(tmp_path) as endpoint:
        where = [endpoint.url.partition("://")[2]] if endpoint.url else []
        script = Path(__file__).parent / "old" / "storage_flow.py"
        told = json.loads(endpoint.run(old_python, script, endpoint.account, endpoint.key, *where))
    assert told == {
        "made": [True, False],
        "text": "hello",
        "large": True,
        "range": True,
        "uncommitted": ["MDA="],
        "names": ["dir/a b.txt"],
        "level": ["dir/", "large"],
        "properties": [5, "text/plain"],
        "metadata": {"k": "v"},
        "copy": "success",
        "by SAS": "hello",
        "refused": [403, "AuthorizationPermissionMismatch"],
        "log": "one",
        "gone": False,
        "deleted": True,
    }
