"""User delegation keys: derived from a secret of the workspace, so that none is stored and each can be made again.

https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from kyanite.errors import UserError
from kyanite.secrets import Vault
from kyanite.server.storage.sas import Sas
from kyanite.server.tokens import TENANT_ID, Identity

LONGEST = timedelta(days=7)
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class DelegationKey:
    """A user delegation key in the service's own words; `value` is base64."""

    signed_oid: str
    signed_tid: str
    signed_start: str
    signed_expiry: str
    signed_service: str
    signed_version: str
    value: str


def make_key(
    vault: Vault, account: str, identity: Identity, *, start: datetime, expiry: datetime, version: str, now: datetime
) -> DelegationKey:
    """The key of an identity for a time of at most 7 days; UserError `InvalidInput` for a time that makes no sense."""
    if expiry <= start or expiry <= now or expiry - now > LONGEST:
        raise UserError("The key must expire in the future, after its start, and within 7 days.", code="InvalidInput")
    writes = identity.may("operator")
    fields = (identity.id, TENANT_ID, start.strftime(_TIME), expiry.strftime(_TIME), "b", version)
    return DelegationKey(*fields, _derive(vault, account, fields, writes=writes))


def keys_of(vault: Vault, account: str, sas: Sas) -> dict[bool, str]:
    """The keys a token's fields can have been made with: whether their owner may write -> key (base64)."""
    fields = (sas["skoid"], sas["sktid"], sas["skt"], sas["ske"], sas["sks"], sas["skv"])
    return {writes: _derive(vault, account, fields, writes=writes) for writes in (False, True)}


def _derive(vault: Vault, account: str, fields: tuple[str, ...], *, writes: bool) -> str:
    secret = vault.get_or_create(f"storage/{account}/delegation")
    text = "\n".join((*fields, "write" if writes else "read"))
    return base64.b64encode(
        hmac.digest(secret.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha256)
    ).decode()
