"""Who asks and whether they may: the one door of the Blob and the Data Lake service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal
from urllib.parse import unquote

from kyanite.errors import UserError
from kyanite.secrets import Vault
from kyanite.server.http import Query, Request
from kyanite.server.storage.delegation import keys_of
from kyanite.server.storage.refusal import AccessRefused
from kyanite.server.storage.sas import (
    AccessPolicy,
    Sas,
    account_text,
    check_conditions,
    delegation_text,
    permissions,
    read_sas,
    resources,
    service_text,
)
from kyanite.server.storage.shared_key import check_shared_key, is_signed
from kyanite.server.tokens import AuthenticationError, Identity, bearer
from kyanite.storage import StorageAccount
from kyanite.storage.model import normalise

Policies = Callable[[StorageAccount, str], Mapping[str, AccessPolicy]]
_READS = frozenset("rlfe")  # letters whose operations change nothing
_OWNER = frozenset({"admin"})
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Need:
    """What an operation needs: any one of the letters, on a service, container or object (`s`, `c`, `o`).

    `service_sas` False: only account keys, account SAS and roles give it, as for the making of containers.
    """

    permissions: str
    level: Literal["s", "c", "o"] = "o"
    container: str = ""
    path: str = ""
    service_sas: bool = True

    @property
    def reads(self) -> bool:
        """Whether it changes nothing."""
        return self.permissions[:1] in _READS


class Access:
    """Who asks, and what they may: `require` is called for each thing an operation touches."""

    def __init__(self, identity: Identity, check: Callable[[Need], None], *, is_owner: bool = False) -> None:
        self.identity = identity
        self.is_owner = is_owner  # who has the key may do all
        self._check = check

    def meet(self, *needs: Need) -> None:
        """AccessRefused unless all of these are met."""
        for need in needs:
            self._check(need)

    def require(
        self,
        permissions: str,
        *,
        resource: Literal["s", "c", "b"] = "b",
        container: str = "",
        path: str = "",
        service_sas: bool = True,
    ) -> None:
        """AccessRefused unless one of the letters is given on the service, a container or a blob (`s`, `c`, `b`)."""
        level: Literal["s", "c", "o"] = "o" if resource == "b" else resource
        self._check(Need(permissions, level, container, path, service_sas))


class Authority:
    """Checks requests to the storage accounts of one workspace.

    `policies` gives the stored access policies of a container, by their ids.
    """

    def __init__(self, vault: Vault, clock: Callable[[], datetime], policies: Policies) -> None:
        self._vault = vault
        self._clock = clock
        self._policies = policies
        self._owners: dict[str, Access] = {}

    def authorise(self, request: Request, account: StorageAccount, *needs: Need) -> Identity:
        """Who asks; AccessRefused unless all the needs are met."""
        access = self.enter(request, account)
        access.meet(*needs)
        return access.identity

    def enter(self, request: Request, account: StorageAccount) -> Access:
        """Who asks, also kept in `request.identity`; AccessRefused for nobody and for whoever cannot prove it."""
        access = self._enter(request, account)
        request.identity = access.identity
        return access

    def enter_source(self, request: Request, account: StorageAccount, query: Query, access: Access) -> Access:
        """The access that an address inside a request gives by the SAS in its own query; else the request's own."""
        return self._by_sas(request, account, _sas(query), query) if "sig" in query else access

    def authorise_source(self, request: Request, account: StorageAccount, query: Query, need: Need) -> None:
        """AccessRefused unless the address with this query in a request gives what is needed."""
        if "sig" in query:
            self._by_sas(request, account, _sas(query), query).meet(need)
        elif account.name != request.account:
            raise AccessRefused("NoAuthenticationInformation", "The source needs a shared access signature of its own.")
        else:
            self.authorise(request, account, need)

    def _enter(self, request: Request, account: StorageAccount) -> Access:
        scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
        if scheme in ("sharedkey", "sharedkeylite"):
            self._by_key(request, account)
            owner = self._owners.get(account.name)
            if owner is None:
                who = Identity(account.name, "sharedKey", _OWNER)
                owner = self._owners[account.name] = Access(who, _anything, is_owner=True)
            return owner
        if scheme not in ("", "bearer"):
            raise AccessRefused("InvalidAuthenticationInfo")
        sas = read_sas(request.query)
        identity = self._by_token(request) if scheme else None
        if identity is not None and (sas is None or not sas["sduoid"]):
            return Access(identity, partial(_check_role, identity))
        if sas is None:
            raise AccessRefused("NoAuthenticationInformation")
        if sas["sduoid"] and (identity is None or sas["sduoid"] != identity.id):
            raise AccessRefused("AuthenticationFailed", "The signature needs the token of the user it was made for.")
        return self._by_sas(request, account, sas, request.query)

    def _by_key(self, request: Request, account: StorageAccount) -> None:
        try:
            check_shared_key(request, account.keys, self._clock())
        except AccessRefused as refused:
            if refused.detail is not None:  # a signed header may carry the SAS of another address
                refused.detail = self._vault.mask(refused.detail)
            raise

    def _by_token(self, request: Request) -> Identity:
        try:
            identity = bearer(request, self._vault, self._clock())
        except AuthenticationError as problem:
            raise AccessRefused("InvalidAuthenticationInfo", problem.message, status=401) from problem
        if identity is None:
            raise AccessRefused("NoAuthenticationInformation")
        return identity

    def _by_sas(self, request: Request, account: StorageAccount, sas: Sas, query: Query) -> Access:
        if sas.is_account:
            self._check_signature(request, account, sas, query, Need(""))
            check_conditions(sas, None, scheme=request.scheme, client=request.client, now=self._clock())
        identity = Identity(f"sas:{account.name}", "sas", frozenset())
        return Access(identity, partial(self._check_sas, request, account, sas, query))

    def _check_sas(self, request: Request, account: StorageAccount, sas: Sas, query: Query, need: Need) -> None:
        writes = self._check_signature(request, account, sas, query, need)
        policy = self._policy(account, sas, need.container)
        check_conditions(sas, policy, scheme=request.scheme, client=request.client, now=self._clock())
        _check_scope(sas, need)
        if not set(need.permissions) & set(permissions(sas, policy)) or not (writes or need.reads):
            raise AccessRefused("AuthorizationPermissionMismatch")

    def _check_signature(self, request: Request, account: StorageAccount, sas: Sas, query: Query, need: Need) -> bool:
        """AccessRefused unless the token is signed for what is needed; whether its signer may write."""
        if sas.is_account:
            signed = is_signed(account_text(sas, account.name), sas.signature, account.keys)
            return _accept(signed, True)
        if not need.container:
            raise AccessRefused("AuthorizationFailure")
        candidates = resources(sas, account.name, need.container, _spellings(need.path))
        if not sas.is_delegated:
            texts = [service_text(sas, each) for each in candidates]
            return _accept(any(is_signed(text, sas.signature, account.keys) for text in texts), True)
        self._check_delegated(sas)
        texts = [delegation_text(sas, each, request.headers, query) for each in candidates]
        keys = keys_of(self._vault, account.name, sas)
        matching = [may for may, key in keys.items() for text in texts if is_signed(text, sas.signature, (key,))]
        return _accept(bool(matching), any(matching))

    def _check_delegated(self, sas: Sas) -> None:
        now = self._clock().strftime(_TIME)
        if sas["sv"] < "2018-11-09" or not sas["skt"] <= now < sas["ske"]:
            raise AccessRefused("AuthenticationFailed", "The user delegation key is not valid at this time.")

    def _policy(self, account: StorageAccount, sas: Sas, container: str) -> AccessPolicy | None:
        if not sas["si"]:
            return None
        policy = self._policies(account, container).get(sas["si"]) if container else None
        if policy is None:
            raise AccessRefused("AuthenticationFailed", "The stored access policy that si names does not exist.")
        return policy


def _sas(query: Query) -> Sas:
    sas = read_sas(query)
    if sas is None:
        raise AccessRefused("NoAuthenticationInformation")
    return sas


def _accept(signed: bool, writes: bool) -> bool:
    if not signed:
        raise AccessRefused("AuthenticationFailed", "Signature did not match.")
    return writes


def _anything(need: Need) -> None:
    """The owner of a key may do all."""


def _check_scope(sas: Sas, need: Need) -> None:
    if sas.is_account:
        if "b" not in sas["ss"]:
            raise AccessRefused("AuthorizationServiceMismatch")
        if need.level not in sas["srt"]:
            raise AccessRefused("AuthorizationResourceTypeMismatch")
    elif not need.service_sas:
        raise AccessRefused("AuthorizationFailure")


def _check_role(identity: Identity, need: Need) -> None:
    if not identity.may("reader" if need.reads else "operator"):
        raise AccessRefused("AuthorizationPermissionMismatch")


def _spellings(path: str) -> list[str]:
    """A path as it was asked for and as it is stored: a token may have been made for either."""
    try:
        return [path, path.strip("/"), normalise(path)]
    except UserError:
        return [path]


def container_and_path(rest: str) -> tuple[str, str]:
    """The raw path below an account as (container, path inside it), decoded; leading slashes collapse."""
    container, _, path = rest.lstrip("/").partition("/")
    return unquote(container), unquote(path)
