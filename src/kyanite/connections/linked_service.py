"""Reading a resolved linked service: where it points and with which credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from kyanite.errors import DefinitionError, UnsupportedError

_HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})\.(?P<service>blob|dfs)\.(?P<suffix>[a-z0-9.-]+)\Z", re.IGNORECASE)
_CLOUD_SUFFIX = "core.windows.net"


@dataclass(frozen=True)
class AccountAddress:
    """A storage account somewhere: its name, the blob endpoint when not the public cloud's, and its credentials."""

    account: str
    endpoint: str | None = None
    key: str | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)
    identity: str | None = None


def name_of(linked_service: Mapping[str, Any]) -> str:
    """The linked service's name for messages."""
    return str(linked_service.get("name", "?"))


def text_of(linked_service: Mapping[str, Any], key: str) -> str | None:
    """A typeProperties member as text: plain, SecureString, or None when absent or empty.

    UnsupportedError for a Key Vault reference, DefinitionError for anything that is not text.
    """
    value = (linked_service.get("typeProperties") or {}).get(key)
    if isinstance(value, Mapping):
        kind = value.get("type")
        if kind == "AzureKeyVaultSecret":
            raise UnsupportedError(
                f"`{key}` of linked service `{name_of(linked_service)}` is the Azure Key Vault secret"
                f" `{value.get('secretName')}`; Key Vault is not read here.",
                cure="Give the value as a SecureString in an override of this linked service.",
            )
        value = value.get("value")
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise DefinitionError(
            f"`{key}` of linked service `{name_of(linked_service)}` is {type(value).__name__}, not text."
        )
    if set(value) == {"*"}:
        raise DefinitionError(
            f"`{key}` of linked service `{name_of(linked_service)}` is masked (`{value[:3]}…`), not a real value.",
            cure="Give the real one; what the service shows back is never the secret itself.",
        )
    return value


def parse_connection_string(text: str, linked_service: str) -> dict[str, str]:
    """`Key=Value;Key=Value` with lower-case keys; values keep their case and further `=`."""
    pairs: dict[str, str] = {}
    for piece in text.split(";"):
        if not piece.strip():
            continue
        key, equals, value = piece.partition("=")
        if not equals:
            # the piece may be part of a secret: never shown
            raise DefinitionError(
                f"The connection string of linked service `{linked_service}` has a piece without `=`.",
                cure="Write AccountName=...;AccountKey=... as the portal shows it.",
            )
        pairs[key.strip().lower()] = value.strip()
    return pairs


def account_address(linked_service: Mapping[str, Any]) -> AccountAddress:
    """The storage account a blob, data lake or legacy storage linked service points at."""
    name = name_of(linked_service)
    connection = text_of(linked_service, "connectionString")
    if connection is not None:
        return _from_connection_string(connection, linked_service)
    for key in ("sasUri", "serviceEndpoint", "containerUri", "url"):
        address = text_of(linked_service, key)
        if address is not None:
            found = from_endpoint(address, f"`{key}` of linked service `{name}`")
            sas = text_of(linked_service, "sasToken") or found.sas
            return AccountAddress(
                found.account, found.endpoint, text_of(linked_service, "accountKey"), sas, _identity(linked_service)
            )
    raise DefinitionError(
        f"Linked service `{name}` does not say which storage account it means.",
        cure="It needs connectionString, serviceEndpoint, sasUri or url"
        + (" besides encryptedCredential, which only the service can open." if _encrypted(linked_service) else "."),
    )


def _from_connection_string(text: str, linked_service: Mapping[str, Any]) -> AccountAddress:
    name = name_of(linked_service)
    pairs = parse_connection_string(text, name)
    endpoint = pairs.get("blobendpoint")
    account = pairs.get("accountname")
    if account is None and endpoint is not None:
        account = from_endpoint(endpoint, f"BlobEndpoint of linked service `{name}`").account
    if account is None:
        raise DefinitionError(
            f"The connection string of linked service `{name}` has no AccountName.",
            cure="Development storage is addressed by AccountName, AccountKey and BlobEndpoint."
            if "usedevelopmentstorage" in pairs
            else None,
        )
    suffix = pairs.get("endpointsuffix", _CLOUD_SUFFIX)
    if endpoint is None and suffix != _CLOUD_SUFFIX:
        endpoint = f"{pairs.get('defaultendpointsprotocol', 'https')}://{account}.blob.{suffix}"
    return AccountAddress(
        account,
        endpoint,
        pairs.get("accountkey") or text_of(linked_service, "accountKey"),
        pairs.get("sharedaccesssignature") or text_of(linked_service, "sasToken"),
        _identity(linked_service),
    )


def from_endpoint(address: str, what: str) -> AccountAddress:
    """The account of `https://ACCOUNT.blob|dfs.SUFFIX/...?sas` or of `http://HOST:PORT/ACCOUNT` (an emulator)."""
    url = urlsplit(address)
    host = _HOST.match(url.hostname or "")
    if url.scheme in ("http", "https") and host:
        suffix = host["suffix"].lower()
        endpoint = None if suffix == _CLOUD_SUFFIX else f"{url.scheme}://{host['account'].lower()}.blob.{suffix}"
        return AccountAddress(host["account"].lower(), endpoint, sas=url.query or None)
    first = unquote(url.path.strip("/").partition("/")[0])
    if url.scheme in ("http", "https") and url.hostname and first:
        return AccountAddress(first, f"{url.scheme}://{url.netloc}/{first}", sas=url.query or None)
    raise DefinitionError(
        f"{what} is no address of a storage account.",
        cure="Write https://ACCOUNT.blob.core.windows.net or https://ACCOUNT.dfs.core.windows.net.",
    )


def _identity(linked_service: Mapping[str, Any]) -> str | None:
    """How the real service would authenticate without key or SAS; None for account key."""
    properties = linked_service.get("typeProperties") or {}
    kind = properties.get("authenticationType")
    if isinstance(kind, str) and kind.lower() in ("msi", "serviceprincipal", "anonymous"):
        return kind
    if properties.get("servicePrincipalId"):
        return "ServicePrincipal"
    if properties.get("credential"):
        return "credential"
    return "encryptedCredential" if _encrypted(linked_service) else None


def _encrypted(linked_service: Mapping[str, Any]) -> bool:
    return bool((linked_service.get("typeProperties") or {}).get("encryptedCredential"))
