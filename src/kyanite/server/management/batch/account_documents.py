"""What Resource Manager was told of Batch accounts and the Batch service has no use for: tags, properties, group."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from kyanite.database import named_statements
from kyanite.runtime.workspace import Workspace


@cache
def _statements() -> dict[str, str]:
    return named_statements("kyanite.server.management.batch", "account_documents.sql")


def read_documents(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """Every document by the account's case-folded name."""
    rows = workspace.database.query(_statements()["read"], {})
    return {row["account"]: workspace.vault.open_json(row["document"]) for row in rows}


def write_document(workspace: Workspace, account: str, document: Mapping[str, Any]) -> None:
    """Keep the document of an account."""
    arguments = {"account": account.casefold(), "document": workspace.vault.seal_json(document)}
    workspace.database.execute(_statements()["write"], arguments)


def drop_document(workspace: Workspace, account: str) -> None:
    """Forget the document of an account."""
    workspace.database.execute(_statements()["drop"], {"account": account.casefold()})
