"""What programs must be told so that they find this workspace under Azure's names and trust it: variables, bundles.

Which client honours which variable was tried with each; docs/how-to/azure-scripts.md has the table.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

from kyanite.server.certificates import locked, write_private

TRUST_STORE_PASSWORD = "changeit"  # noqa: S105 - Java's own default; certificates are no secret
NO_PROXY = "localhost,127.0.0.1,::1"

# real credentials would be tried before the managed identity, and against our authority
NOT_PASSED_ON = (
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_PASSWORD",
    "AZURE_TENANT_ID",
    "AZURE_USERNAME",
)

_CA_VARIABLES = (
    "AWS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
)
_HOST_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_COMMON_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class Trust:
    """Files that say who is trusted: our authority alone, or also those that this machine trusts."""

    bundle: Path
    java: Path


def trust_files(folder: Path, ca_file: Path, *, network: bool, host: Mapping[str, str] = os.environ) -> Trust:
    """The trust files in a folder, written when they are missing or not up to date.

    Without the network only our authority is in them: nobody else can be reached.
    """
    sources = [ca_file, *([found] if network and (found := host_bundle(host)) is not None else [])]
    name = "all" if network else "only"
    trust = Trust(folder / f"trust-{name}.pem", folder / f"trust-{name}.p12")
    with locked(folder / "lock"):
        _bring_up_to_date(trust, sources)
    return trust


def _bring_up_to_date(trust: Trust, sources: Sequence[Path]) -> None:
    newest = max(source.stat().st_mtime_ns for source in sources)
    if all(file.is_file() and file.stat().st_mtime_ns > newest for file in (trust.bundle, trust.java)):
        return
    texts = [source.read_bytes().strip() for source in sources]
    write_private(trust.bundle, b"\n".join([*texts, b""]))
    write_private(trust.java, _java_store(_certificates(texts)))


def host_bundle(host: Mapping[str, str]) -> Path | None:
    """The file of authorities that this machine's programs trust; None when there is none."""
    named = [host[name] for name in _HOST_BUNDLES if host.get(name)]
    default = ssl.get_default_verify_paths().cafile
    for candidate in (*named, *([default] if default else []), *_COMMON_BUNDLES):
        if Path(candidate).is_file() and "trust-all.pem" not in candidate:
            return Path(candidate)
    return None


def _certificates(texts: list[bytes]) -> list[x509.Certificate]:
    """Each certificate that can be read: old bundles hold some that cannot."""
    found = []
    end = b"-----END CERTIFICATE-----"
    for text in texts:
        for piece in text.split(end)[:-1]:
            begin = piece.find(b"-----BEGIN CERTIFICATE-----")
            with suppress(ValueError), catch_warnings():
                simplefilter("ignore")
                found.append(x509.load_pem_x509_certificate(piece[begin:] + end + b"\n"))
    return found


def _java_store(certificates: list[x509.Certificate]) -> bytes:
    entries = [PKCS12Certificate(each, f"kyanite-{number}".encode()) for number, each in enumerate(certificates)]
    return serialize_java_truststore(entries, BestAvailableEncryption(TRUST_STORE_PASSWORD.encode()))


def proxy_url(port: int, user: str, secret: str) -> str:
    """The proxy's address with the credential in it, as HTTPS_PROXY holds it."""
    return f"http://{user}:{quote(secret, safe='')}@127.0.0.1:{port}"


def variables(trust: Trust, proxy: str, identity_endpoint: str, identity_header: str) -> dict[str, str]:
    """Everything a program is told."""
    found = dict.fromkeys(_CA_VARIABLES, str(trust.bundle))
    for name, value in (("HTTPS_PROXY", proxy), ("HTTP_PROXY", proxy), ("NO_PROXY", NO_PROXY)):
        found[name] = found[name.lower()] = value
    java = f"-Djavax.net.ssl.trustStore={trust.java} -Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}"
    return {
        **found,
        "NODE_USE_ENV_PROXY": "1",
        "JAVA_TOOL_OPTIONS": java,
        "IDENTITY_ENDPOINT": identity_endpoint,
        "IDENTITY_HEADER": identity_header,
        "MSI_ENDPOINT": identity_endpoint,
        "MSI_SECRET": identity_header,
    }
