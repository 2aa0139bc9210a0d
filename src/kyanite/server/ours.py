"""Which of Azure's host names mean something in this workspace."""

from __future__ import annotations

import re

from kyanite.errors import BatchError
from kyanite.runtime.workspace import Workspace
from kyanite.server.places import HOSTS, azure_suffix

_REGION = re.compile("[a-z0-9]{0,30}")


def is_ours(workspace: Workspace, host: str) -> bool:
    """Whether an Azure host name (lower case) is served here: the account it begins with must exist."""
    suffix = azure_suffix(host)
    if suffix is None:
        return False
    service, has_account = HOSTS[suffix]
    if not has_account:
        return True
    first, _, region = host[: -len(suffix) - 1].partition(".")
    if not _REGION.fullmatch(region):
        return False
    if service == "storage":
        return not region and workspace.accounts.get(first) is not None
    try:
        workspace.batch.account(first)
    except BatchError:
        return False
    return True
