"""Who can ask for tokens: the owner, clients with a secret made here, and programs started by this workspace."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING

from kyanite.errors import UserError
from kyanite.server.tokens import OWNER, ROLES, Identity, admin_key

if TYPE_CHECKING:
    from kyanite.secrets import Vault

_CLIENT = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

# what the two kinds of programs are told as IDENTITY_HEADER, by the name under which the vault has it
PROGRAMS: dict[str, Identity] = {
    "server/identity/exec": OWNER,
    "server/identity/task": Identity("task", "workload", frozenset({"operator"})),
}


def client_secret(vault: Vault, client_id: str, role: str) -> str:
    """The secret with which a client of this id gets tokens of a role; made when there is none yet."""
    if not _CLIENT.fullmatch(client_id):
        raise UserError(
            f"{client_id!r} cannot be a client's id.", cure="Use letters, digits, dots, dashes; at most 80."
        )
    if role not in ROLES:
        raise UserError(f"There is no role '{role}'.", cure=f"Roles: {', '.join(ROLES)}.")
    return vault.get_or_create(f"server/client/{role}/{client_id}", 33)


def client(vault: Vault, client_id: str, secret: str) -> Identity | None:
    """Who a client id and secret stand for; the owner's key is the secret of any client. None when they are wrong."""
    if hmac.compare_digest(secret.encode(), admin_key(vault).encode()):
        return OWNER
    for role in ROLES:
        known = vault.get(f"server/client/{role}/{client_id}") if _CLIENT.fullmatch(client_id) else None
        if known is not None and hmac.compare_digest(secret.encode(), known.encode()):
            return Identity(client_id, "workload", frozenset({role}))
    return None


def identity_header(vault: Vault, program: str) -> str:
    """The IDENTITY_HEADER of one kind of PROGRAMS; made when there is none yet."""
    return vault.get_or_create(program, 33)


def program(vault: Vault, header: str) -> Identity | None:
    """Which kind of program an X-IDENTITY-HEADER belongs to; None when to none of ours."""
    for name, identity in PROGRAMS.items():
        if hmac.compare_digest(header.encode(), identity_header(vault, name).encode()):
            return identity
    return None
