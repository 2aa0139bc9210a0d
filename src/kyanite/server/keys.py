"""The keys of a workspace's server, made by `init` and again when one is missing; all are their owner's alone."""

from __future__ import annotations

from pathlib import Path

from kyanite.runtime.clock import utc_now
from kyanite.runtime.workspace import Workspace
from kyanite.server.certificates import CertificateAuthority, write_private
from kyanite.server.gateway import credentials
from kyanite.server.principals import PROGRAMS, identity_header
from kyanite.server.tokens import admin_key, signing_key

TOKEN_FILE = "token"  # noqa: S105 - a file's name
TLS_FOLDER = "tls"


def make_keys(workspace: Workspace) -> Path:
    """Make what is missing: certificate authority, signing key, the owner's key and its file, which is given."""
    CertificateAuthority(workspace.home / TLS_FOLDER).ensure(utc_now())
    vault = workspace.vault
    signing_key(vault)
    credentials(vault)
    for program in PROGRAMS:
        identity_header(vault, program)
    file = workspace.home / TOKEN_FILE
    key = admin_key(vault)
    if not file.is_file() or file.read_text(encoding="ascii").strip() != key:
        write_private(file, f"{key}\n".encode())
    file.chmod(0o600)
    return file
