"""A private certificate authority: one key and certificate per workspace, and the server certificates it signs.

Nothing is installed anywhere. Programs trust it because a variable of their environment names `ca.pem`, and its own
certificate says that it can speak for Azure's host names and this machine only, whoever gets hold of the key.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kyanite.errors import StateError
from kyanite.server.places import HOSTS

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
CA_DAYS = 3650
HOST_DAYS = 90
RENEW_DAYS = 30  # before its end
_BACKDATED = timedelta(days=1)  # clocks differ
_MOST_NAME = 253


class CertificateAuthority:
    """The authority in a folder (`<home>/tls`). `ensure` makes what is missing or near its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_file = folder / "ca.pem"
        self._key_file = folder / "ca-key.pem"

    def ensure(self, now: datetime) -> bool:
        """Make the authority unless a good one is there; whether a new one was made. Safe from many processes."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.folder / "lock"):
            if self._is_good(now):
                return False
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(self._key_file, _key_pem(key))
            write_private(self.ca_file, _authority(key, now).public_bytes(serialization.Encoding.PEM))
            for stale in self.folder.glob("host-*.pem"):
                stale.unlink()
            return True

    def host_file(self, names: Sequence[str], now: datetime) -> tuple[Path, datetime]:
        """A PEM file with key and certificate for some names, and when it should be asked for again.

        One is kept for each first name and made anew near its end; names longer than DNS has are refused.
        """
        if any(len(name) > _MOST_NAME for name in names):
            raise StateError("A host name is longer than a certificate can say.")
        self.ensure(now)
        file = self.folder / f"host-{names[0]}.pem"
        with locked(self.folder / "lock"):
            try:
                until = _renew_at(x509.load_pem_x509_certificate(file.read_bytes()))
            except (FileNotFoundError, ValueError):
                until = now
            if until > now:
                return file, until
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._sign(key, names, now)
            write_private(file, certificate.public_bytes(serialization.Encoding.PEM) + _key_pem(key))
            return file, _renew_at(certificate)

    def _is_good(self, now: datetime) -> bool:
        try:
            certificate = self._certificate()
            own = self._key().public_key() == certificate.public_key()
            constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        except (FileNotFoundError, ValueError, TypeError, x509.ExtensionNotFound):
            return False
        return own and constraints == _constraints() and _renew_at(certificate) > now

    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.ca_file.read_bytes())

    def _key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError("the key is of another kind")
        return key

    def _sign(self, key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: datetime) -> x509.Certificate:
        authority, signer = self._certificate(), self._key()
        end = min(now + timedelta(days=HOST_DAYS), authority.not_valid_after_utc)
        return (
            _begun(names[0], authority.subject, key, now, end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = "kyanite workspace authority"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        _begun(name, subject, key, now, now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign=True), critical=True)
        .add_extension(_constraints(), critical=True)
        .sign(key, hashes.SHA256())
    )


def _constraints() -> x509.NameConstraints:
    local = [x509.IPAddress(ip_network("127.0.0.0/8")), x509.IPAddress(ip_network("::1/128"))]
    return x509.NameConstraints([*(x509.DNSName(name) for name in ("localhost", *sorted(HOSTS))), *local], None)


def _begun(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    # a common name has at most 64 characters; clients look at the alternative names only
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _renew_at(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc - timedelta(days=RENEW_DAYS)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(file: Path, content: bytes) -> None:
    """Write a file that is its owner's alone from its first byte on, whole or not at all; one writer at a time."""
    beside = file.with_name(f".{file.name}.new")
    handle = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    beside.replace(file)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """One process and thread at a time."""
    handle = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
