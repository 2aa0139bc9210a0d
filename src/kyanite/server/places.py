"""Where each service stands: by the host name a client was made for, or by the first part of the path.

https://ACCOUNT.blob.core.windows.net/...        storage, account in the host (through the gateway, or by --host)
http://127.0.0.1:PORT/ACCOUNT/...                storage, account in the path, as the official emulator has it
http://127.0.0.1:PORT/batch/ACCOUNT/pools        Batch; also without the prefix, then the signature names the account
https://127.0.0.1:PORT/subscriptions/...         management
http://127.0.0.1:PORT/msi/token, /TENANT/oauth2  authority
http://127.0.0.1:PORT/healthz, /metrics          status
"""

from __future__ import annotations

from functools import lru_cache

from kyanite.server.http import Request

# end of a host name -> (service, whether the account stands before it)
HOSTS: dict[str, tuple[str, bool]] = {
    "batch.azure.com": ("batch", True),
    "blob.core.windows.net": ("storage", True),
    "dfs.core.windows.net": ("storage", True),
    "login.microsoftonline.com": ("authority", False),
    "management.azure.com": ("management", False),
}

# first part of a path, in lower case -> service; no storage account may have such a name
PATHS: dict[str, str] = {
    "": "status",
    "applications": "batch",
    "batch": "batch",
    "certificates": "batch",
    "common": "authority",
    "healthz": "status",
    "jobs": "batch",
    "jobschedules": "batch",
    "lifetimejobstats": "batch",
    "lifetimepoolstats": "batch",
    "metadata": "authority",
    "metrics": "status",
    "msi": "authority",
    "nodecounts": "batch",
    "organizations": "authority",
    "pools": "batch",
    "poolusagemetrics": "batch",
    "providers": "management",
    "subscriptions": "management",
    "supportedimages": "batch",
    "tenants": "management",
}
_UUID_LENGTH = 36


def place(request: Request) -> str:
    """The name of the service a request is for; sets its `rest`, `account` and `host_style`."""
    suffix = azure_suffix(request.host)
    if suffix is not None:
        service, has_account = HOSTS[suffix]
        request.rest = request.raw_path
        if has_account:
            request.account = request.host[: -len(suffix) - 1].partition(".")[0]
            request.host_style = True
        return service
    first, _, rest = request.raw_path.lstrip("/").partition("/")
    first_decoded = first.lower()
    service = PATHS.get(first_decoded.partition("(")[0], "authority" if _is_tenant(first_decoded) else "storage")
    request.rest = request.raw_path
    if service == "storage":
        request.account = first_decoded
        request.rest = request.raw_path[request.raw_path.index(first) + len(first) :]
    elif first_decoded == "batch":
        request.account, _, below = rest.partition("/")
        request.rest = f"/{below}"
    return service


@lru_cache(maxsize=256)
def azure_suffix(host: str) -> str | None:
    """Which of HOSTS a host name ends with, or None."""
    for suffix, (_, has_account) in HOSTS.items():
        if host.endswith(f".{suffix}") if has_account else host == suffix:
            return suffix
    return None


def is_reserved(name: str) -> bool:
    """Whether a storage account of this name could not be told from another service's path."""
    return name.lower() in PATHS


def _is_tenant(first: str) -> bool:
    return len(first) == _UUID_LENGTH and first.count("-") == 4
