"""The TLS side of the listener: the certificate of the host that a client names, made when it first does."""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from kyanite.runtime.clock import utc_now
from kyanite.server.certificates import LOCAL_NAMES, CertificateAuthority

_MOST_HOSTS = 256  # whose certificates are kept at hand


@dataclass
class _Certificates:
    """What each host is answered with; the least used leaves first."""

    authority: CertificateAuthority
    is_ours: Callable[[str], bool]
    clock: Callable[[], datetime]
    kept: OrderedDict[str, tuple[ssl.SSLContext, datetime]] = field(default_factory=OrderedDict)

    def context(self, host: str) -> ssl.SSLContext:
        """The context with the certificate of a host, renewed in time."""
        found = self.kept.pop(host, None)
        if found is None or found[1] <= self.clock():
            names = LOCAL_NAMES if host == LOCAL_NAMES[0] else (host,)
            file, until = self.authority.host_file(names, self.clock())
            context = _context()
            context.load_cert_chain(file)
            found = (context, until)
        self.kept[host] = found
        while len(self.kept) > _MOST_HOSTS:
            self.kept.popitem(last=False)
        return found[0]

    def choose(self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        """As `SSLContext.sni_callback` wants it: put the right context in, or say which alert to send."""
        host = (name or "localhost").lower().rstrip(".")
        if host not in LOCAL_NAMES and host not in self.kept and not self.is_ours(host):
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        connection.context = self.context(LOCAL_NAMES[0] if host in LOCAL_NAMES else host)
        return None


def server_context(
    authority: CertificateAuthority, is_ours: Callable[[str], bool], clock: Callable[[], datetime] = utc_now
) -> ssl.SSLContext:
    """A context for listening. Clients are answered as localhost, or as an Azure name for which `is_ours` holds."""
    certificates = _Certificates(authority, is_ours, clock)
    file, _ = authority.host_file(LOCAL_NAMES, clock())
    context = _context()
    context.load_cert_chain(file)
    context.sni_callback = certificates.choose
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
